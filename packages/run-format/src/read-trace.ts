import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import type { RankSpans } from './clock-offsets.js';
import { TrainerError } from './errors.js';
import type { RecordedSpan } from './flight-span.js';
import { readRegularFile } from './regular-file.js';
import type { TracedSteps } from './timeline-data.js';
import {
  decodeTrace,
  parseTraceFileName,
  type TraceContent,
  type TraceFileName,
  type TraceHead,
  traceFileName,
} from './trace-file.js';

/** The spans of some steps. */
export interface Trace extends Pick<TraceHead, 'runId' | 'generation' | 'numNodes' | 'workersPerNode'> {
  /** Spans by rank; ranks of a node that left no trace are missing. */
  readonly ranks: readonly RankSpans[];
}

export interface TraceQuery {
  readonly from: number;
  readonly to: number;
  /** Generation; if absent, the newest that has these steps. */
  readonly generation?: number | undefined;
}

/** Returns the steps with traces, by generation; empty if the run has no traces. */
export function tracedSteps(directory: string): TracedSteps[] {
  const all = generationsIn(filesIn(directory)).map(({ generation, files }) => {
    const ofNode = [...filesByNode(files).values()];
    // Each node has all steps from its first file on.
    const first = Math.max(...ofNode.map(([first]) => first!.step));
    const lastSteps = ofNode.flatMap((each) => lastStepsOf(directory, each));
    const last = Math.max(0, ...lastSteps);
    const complete = Math.min(...lastSteps);
    return { generation, first, last, complete: complete < first ? last : complete };
  });
  return all.filter(({ first, last }) => first <= last);
}

/**
 * Returns the last step of each rank of a node. A new file gets the ranks one by one; the last steps of the
 * others are in an older file.
 */
function lastStepsOf(directory: string, files: readonly TraceFileName[]): number[] {
  const lastSteps = new Map<number, number>();
  for (const file of files.toReversed()) {
    const content = contentOf(directory, file, () => false);
    for (const [rank, step] of content?.lastSteps ?? []) if (!lastSteps.has(rank)) lastSteps.set(rank, step);
    if (content !== null && lastSteps.size === content.head.workersPerNode) break;
  }
  return [...lastSteps.values()];
}

/**
 * Reads the spans of steps.
 *
 * @param directory `trace/` of the run
 * @throws TrainerError `BAD_INPUT` if the steps are not kept, or a file is damaged
 */
export function readTrace(directory: string, { from, to, generation }: TraceQuery): Trace {
  const kept = tracedSteps(directory);
  if (kept.length === 0)
    throw new TrainerError(
      'BAD_INPUT',
      `${directory}: no traces here; node agents write them while they train`,
    );
  const chosen = kept.findLast(
    (each) => (generation ?? each.generation) === each.generation && each.first <= from && to <= each.last,
  );
  if (chosen === undefined)
    throw new TrainerError(
      'BAD_INPUT',
      `${directory}: ${describeSteps(from, to)}${generation === undefined ? '' : ` of generation ${generation}`} ` +
        `${from === to ? 'is' : 'are'} not kept: there are ${describeKept(kept)}`,
    );
  const files = filesIn(directory).filter((file) => file.generation === chosen.generation);
  const contents = [...filesByNode(files).values()].flatMap((ofNode) =>
    ofNode
      .filter(({ step }, i) => step <= to && (ofNode[i + 1]?.step ?? Number.POSITIVE_INFINITY) >= from)
      .flatMap((file) => contentOf(directory, file, (step) => from <= step && step <= to) ?? []),
  );
  const ranks = byRank(contents);
  // A live run removes its oldest traces, and traces that a slow disk cannot take are lost.
  if (!ranks.some(({ spans }) => spans.length > 0))
    throw new TrainerError('BAD_INPUT', `${directory}: the traces of ${describeSteps(from, to)} are gone`);
  const { runId, numNodes, workersPerNode } = contents[0]!.head;
  return { runId, generation: chosen.generation, numNodes, workersPerNode, ranks };
}

function describeSteps(from: number, to: number): string {
  return from === to ? `step ${from}` : `steps ${from}..${to}`;
}

/** Writes "steps 10..20 of generation 1, steps 16..80 of generation 2". */
export function describeKept(kept: readonly TracedSteps[]): string {
  return kept
    .map(({ generation, first, last }) => `${describeSteps(first, last)} of generation ${generation}`)
    .join(', ');
}

/** Lists the files, oldest first. */
function filesIn(directory: string): TraceFileName[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .flatMap((name) => parseTraceFileName(name) ?? [])
    .sort((a, b) => a.generation - b.generation || a.node - b.node || a.step - b.step);
}

function generationsIn(files: readonly TraceFileName[]) {
  const generations = [...new Set(files.map(({ generation }) => generation))];
  return generations.map((generation) => ({
    generation,
    files: files.filter((file) => file.generation === generation),
  }));
}

function filesByNode(files: readonly TraceFileName[]): Map<number, TraceFileName[]> {
  const byNode = new Map<number, TraceFileName[]>();
  for (const file of files) byNode.set(file.node, [...(byNode.get(file.node) ?? []), file]);
  return byNode;
}

/**
 * Returns null if the file is gone, as a live run removes its oldest, or if it is empty after a full disk.
 */
function contentOf(
  directory: string,
  name: TraceFileName,
  isWanted?: (step: number) => boolean,
): TraceContent | null {
  const file = path.join(directory, traceFileName(name));
  let bytes: Buffer;
  try {
    bytes = readRegularFile(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  return bytes.length === 0 ? null : decodeTrace(file, bytes, isWanted);
}

function byRank(contents: readonly TraceContent[]): RankSpans[] {
  const ranks = new Map<number, RankSpans & { spans: RecordedSpan[] }>();
  for (const { head, chunks } of contents)
    for (const { rank, spans } of chunks) {
      const { node, machine, monotonicEpochMs } = head;
      const known = ranks.get(rank) ?? { rank, node, machine, monotonicEpochMs, spans: [] };
      for (const span of spans) known.spans.push(span);
      ranks.set(rank, known);
    }
  return [...ranks.values()].sort((a, b) => a.rank - b.rank);
}
