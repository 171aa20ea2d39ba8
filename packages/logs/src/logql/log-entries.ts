import type { Block } from '../store/block.js';
import { compareInstants, type Instant, isInRange, type TimeRange } from '../store/instant.js';
import type { LogFile, ScannedLine } from '../store/log-file.js';
import { type BlockReader, type FileView, hasSelected } from '../store/log-reader.js';
import type { Labels } from '../store/streams.js';
import { DETECTED_LEVEL, entryLabels } from './detected-level.js';
import type { Pipeline } from './pipeline.js';
import { PipelineLine } from './pipeline-line.js';

export type Direction = 'forward' | 'backward';

/** A line after the pipeline. */
export interface LogEntry extends Instant {
  /** All labels; `splitLabels` says where each comes from. */
  readonly labels: Labels;
  /** Names of the labels that the pipeline extracted or formatted. */
  readonly parsed: ReadonlySet<string>;
  readonly text: string;
  readonly file: LogFile;
  readonly offset: number;
}

/**
 * Merges the lines of files that pass a pipeline, by time, then file and offset. Files are only roughly in
 * time order. Blocks are read by the start of their time range (backward: its end), and a line is yielded
 * once no unread block can contain an earlier one. Blocks after the last requested batch are never read.
 */
export async function* readEntries(
  views: readonly FileView[],
  pipeline: Pipeline,
  range: TimeRange,
  direction: Direction,
  reader: BlockReader,
): AsyncGenerator<LogEntry[]> {
  const sign = direction === 'forward' ? 1 : -1;
  const order = (a: LogEntry, b: LogEntry) => sign * compareEntries(a, b);
  const work = blocksToRead(views, range, direction);
  let waiting: LogEntry[] = [];
  for (const [i, { view, block }] of work.entries()) {
    await reader.read(view, block, pipeline.test, (line) => {
      if (!isInRange({ timeMs: line.timeMs, nanos: 0 }, range) || !pipeline.test.passes(line.from, line.to))
        return;
      const pipelined = toPipelineLine(line);
      if (pipeline.run !== null && !pipeline.run(pipelined)) return;
      waiting.push(toEntry(pipelined, line, view.file));
    });
    if (waiting.length === 0) continue;
    const bound = i + 1 < work.length ? work[i + 1]!.edgeMs : sign * Number.POSITIVE_INFINITY;
    const isSafe = ({ timeMs }: LogEntry) => sign * (bound - timeMs) > 0;
    const safe = waiting.filter(isSafe);
    if (safe.length === 0) continue;
    waiting = waiting.filter((entry) => !isSafe(entry));
    yield safe.sort(order);
  }
  if (waiting.length > 0) yield waiting.sort(order);
}

export function toPipelineLine(line: ScannedLine): PipelineLine {
  const text = line.bytes.toString('utf8', line.from, line.to);
  return new PipelineLine(text, entryLabels(line.stream));
}

export function toEntry(
  { labels, parsed, text }: PipelineLine,
  { timeMs, offset }: ScannedLine,
  file: LogFile,
): LogEntry {
  return { timeMs, nanos: 0, labels, parsed, text, file, offset };
}

export interface SplitLabels {
  readonly stream: Labels;
  readonly structuredMetadata: Labels;
  /** Extracted or formatted by the pipeline. */
  readonly parsed: Labels;
}

/** Groups the labels of an entry by origin, in Loki's categories. */
export function splitLabels({ labels, parsed }: Pick<LogEntry, 'labels' | 'parsed'>): SplitLabels {
  const split = { stream: new Map(), structuredMetadata: new Map(), parsed: new Map() };
  for (const [name, value] of labels) {
    const kind = parsed.has(name) ? 'parsed' : name === DETECTED_LEVEL ? 'structuredMetadata' : 'stream';
    split[kind].set(name, value);
  }
  return split;
}

export async function take(batches: AsyncGenerator<LogEntry[]>, limit: number): Promise<LogEntry[]> {
  const taken: LogEntry[] = [];
  for await (const batch of batches) {
    for (const entry of batch) {
      if (taken.length === limit) break;
      taken.push(entry);
    }
    if (taken.length === limit) break;
  }
  return taken;
}

export function compareEntries(a: LogEntry, b: LogEntry): number {
  const byTime = compareInstants(a, b);
  if (byTime !== 0) return byTime;
  if (a.file.source === b.file.source && a.file.segment !== b.file.segment)
    return a.file.segment - b.file.segment;
  if (a.file !== b.file) return a.file.path < b.file.path ? -1 : 1;
  return a.offset - b.offset;
}

interface Work {
  readonly view: FileView;
  readonly block: Block;
  /** Start of the block's time range; its end if reading backward. */
  readonly edgeMs: number;
}

function blocksToRead(views: readonly FileView[], { start, end }: TimeRange, direction: Direction): Work[] {
  const work = views.flatMap((view) =>
    view.blocks
      .filter(
        (block) =>
          block.offset < view.end &&
          block.maxMs >= start.timeMs &&
          block.minMs <= end.timeMs &&
          hasSelected(view, block),
      )
      .map((block) => ({ view, block, edgeMs: direction === 'forward' ? block.minMs : block.maxMs })),
  );
  return work.sort((a, b) => (direction === 'forward' ? a.edgeMs - b.edgeMs : b.edgeMs - a.edgeMs));
}
