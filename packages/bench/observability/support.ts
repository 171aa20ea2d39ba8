import { appendFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** One figure of the benchmark. */
export interface Measurement {
  /** Key in the JSON. */
  readonly name: string;
  /** Label in the table. */
  readonly meaning: string;
  readonly unit: string;
  /** A number, or counts by name. */
  readonly value: number | Readonly<Record<string, number>>;
  /** Upper limit (for rates, lower limit); null for none. */
  readonly target: number | null;
  /** Spread or conditions, as text. */
  readonly note: string;
}

/** Each module of this folder exports one: it verifies what it measures, then measures it. */
export type Bench = () => Promise<Measurement[]>;

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
}

/** Fails the bench: timings of wrong results are worthless. */
export function assertEqual(what: string, actual: unknown, expected: unknown): void {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== b) throw new Error(`${what}: got ${a?.slice(0, 500)}, expected ${b?.slice(0, 500)}`);
}

/** Runs `work` in a temporary folder. */
export async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-bench-'));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export const LONG_RUN = {
  run: 'long',
  numLines: 1_000_000,
  numNodes: 2,
  ranksPerNode: 4,
  startMs: 1_700_000_000_000,
  /** Interval between lines of one rank. */
  intervalMs: 10,
  /** One line in this many is a warning. */
  warnEvery: 1_000,
  /** One line of a node in this many contains NaN. */
  nanEvery: 100_000,
} as const;

/** Writes the log of a run of a million lines: 2 nodes x 4 ranks, 100 lines/s each, 21 minutes. */
export function writeLongRun(directory: string): void {
  const { run, numLines, numNodes, ranksPerNode, startMs, intervalMs, warnEvery, nanEvery } = LONG_RUN;
  mkdirSync(directory, { recursive: true });
  for (let node = 0; node < numNodes; node++) {
    const file = path.join(directory, `node-${node}.ndjson`);
    let text = '';
    for (let i = 0; i < numLines / numNodes; i++) {
      // Ranks are offset by a few ms, and out of order.
      const time = startMs + Math.floor(i / ranksPerNode) * intervalMs + ((i * 7) % 5);
      const rank = node * ranksPerNode + (i % ranksPerNode);
      const level = i % warnEvery === 0 ? 'warn' : 'info';
      const msg = i % nanEvery === 7 ? 'loss is NaN' : 'step';
      const step = Math.floor(i / 40);
      text += `${JSON.stringify({ level, time, run, generation: 1, node, rank, step, loss: 3 + Math.sin(i), stepMs: 12.5, msg })}\n`;
      if (text.length > 1 << 23) {
        appendFileSync(file, text);
        text = '';
      }
    }
    appendFileSync(file, text);
  }
}
