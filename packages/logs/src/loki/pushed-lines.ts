import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { AppendFile } from '../append-file.js';
import type { LogEngine } from '../logql/log-engine.js';
import { nsText } from '../store/instant.js';
import type { LogFolder } from '../store/log-catalog.js';
import { BlockReader, type FileView, type LineSieve } from '../store/log-reader.js';
import { Pacer } from '../store/pacer.js';
import { formatPushedLine, PUSHED_SOURCE, type PushedLine } from '../store/pushed-line.js';
import { labelsKey, MAX_PUSHED_STREAMS } from '../store/streams.js';
import { invalid } from './parameters.js';

/** Limit for all pushed lines of a run. */
const MAX_FILE_BYTES = 64 << 20;
const MAX_SECONDS = 30;
const ALL_LINES: LineSieve = { needle: null, begin: () => undefined, mayPass: () => true };

/**
 * Appends pushed lines to the files of their runs. As in Loki a line that its stream has already, with the same
 * time and text, is kept once.
 *
 * @throws LogsError `BAD_INPUT` beyond the limits of a run; then nothing is written
 */
export async function keepPushed(
  engine: LogEngine,
  byRun: ReadonlyMap<LogFolder, readonly PushedLine[]>,
): Promise<void> {
  const fresh: [LogFolder, PushedLine[]][] = [];
  for (const [folder, lines] of byRun) {
    const views = await engine.open([{ name: 'run', op: '=', value: folder.run }], Number.NEGATIVE_INFINITY);
    const view = views.find(({ file }) => file.isPushed);
    assertFewStreams(folder, lines, view);
    fresh.push([folder, await newLines(lines, view)]);
  }
  for (const [folder, lines] of fresh) append(folder, lines);
}

function assertFewStreams({ run }: LogFolder, lines: readonly PushedLine[], view?: FileView): void {
  const keys = new Set(view?.file.streams.all.map(({ labels }) => labelsKey(labels)));
  for (const { labels } of lines) keys.add(labelsKey(new Map(Object.entries(labels))));
  if (keys.size > MAX_PUSHED_STREAMS)
    throw invalid(`push: run ${run} would have more than ${MAX_PUSHED_STREAMS} streams of pushed lines`);
}

/** Each line once, without those that the file has. */
async function newLines(lines: readonly PushedLine[], view?: FileView): Promise<PushedLine[]> {
  const fresh = new Map(
    lines.map((line) => [lineKey(line.ns, new Map(Object.entries(line.labels)), line.line), line]),
  );
  if (view === undefined) return [...fresh.values()];
  const timesMs = lines.map(({ ns }) => Number(BigInt(ns) / 1_000_000n));
  const firstMs = timesMs.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const lastMs = timesMs.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const reader = new BlockReader(new Pacer({ limitMs: 1000 * MAX_SECONDS }));
  try {
    for (const block of view.blocks) {
      if (block.maxMs < firstMs || block.minMs > lastMs) continue;
      await reader.read(view, block, ALL_LINES, (line) => {
        const text = line.bytes.toString('utf8', line.from, line.to);
        fresh.delete(lineKey(nsText(line), line.stream.labels, text));
      });
    }
  } finally {
    reader.close();
  }
  return [...fresh.values()];
}

function lineKey(ns: string, labels: ReadonlyMap<string, string>, line: string): string {
  return `${ns} ${labelsKey(labels)} ${line}`;
}

function append({ run, directory }: LogFolder, lines: readonly PushedLine[]): void {
  const text = lines.map((line) => `${formatPushedLine(line)}\n`).join('');
  mkdirSync(directory, { recursive: true });
  const file = new AppendFile(path.join(directory, `${PUSHED_SOURCE}.ndjson`));
  try {
    if (file.size + Buffer.byteLength(text) > MAX_FILE_BYTES)
      throw invalid(`push: run ${run} has its ${MAX_FILE_BYTES} bytes of pushed lines`);
    file.append(text);
  } finally {
    file.close();
  }
}
