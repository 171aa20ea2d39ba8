import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { EXIT } from 'locmoe/internal/errors';
import { interruptible } from 'locmoe/internal/os/on-signals';
import { makeBenchFolders } from '../folders.js';
import { type ExchangeCase, layoutOf } from './cases.js';
import { measureOurs } from './measure-ours.js';
import { measureOverlap } from './measure-overlap.js';
import { measurePeers } from './measure-peers.js';
import { measureStream } from './measure-streams.js';
import { type ExchangeRow, type Measurements, STREAMS, type StreamRow } from './measurements.js';
import { writeReport } from './report.js';
import { HIERARCHY, type Scope, scopeOf } from './scope.js';
import { formatSize, STREAM_LABELS, withSpread } from './words.js';

export interface BenchCollectivesOptions {
  readonly quick: boolean;
  /** Parts, layouts, collectives, sizes in bytes and peers; empty for all. */
  readonly only: readonly string[];
  /** Whether to measure installed peers. */
  readonly peers: boolean;
  /** Holds compiled peers and all measurements. */
  readonly workDir: string;
  /** Output folder of the report. */
  readonly out: string;
  /** The command line, quoted in the report. */
  readonly command: string;
}

/**
 * `locmoe bench collectives`: times our collectives and those of peers between real processes and reports
 * both.
 *
 * @returns the exit code of the command
 * @throws TrainerError `BAD_INPUT` before anything is run; the failure of a rank, or a wrong result; `INTERRUPTED`
 */
export async function benchCollectives(options: BenchCollectivesOptions): Promise<number> {
  const scope = scopeOf(options);
  const workDir = path.resolve(options.workDir);
  makeBenchFolders(options);
  const measured = await interruptible('ended; nothing was reported', (signal) =>
    measure(scope, workDir, signal),
  );
  writeFileSync(path.join(workDir, 'measurements.json'), `${JSON.stringify(measured, null, 2)}\n`);
  const headline = await writeReport({ ...options, measured });
  console.log(
    `\n${JSON.stringify(headline, null, 2)}\n\nreport: ${path.join(options.out, 'collectives.md')}`,
  );
  return EXIT.done;
}

async function measure(scope: Scope, workDir: string, signal: AbortSignal): Promise<Measurements> {
  const { parts, layouts, cases, repetition, streamPieces } = scope;
  const exchanges: ExchangeRow[] = [];
  let notes: string[] = [];
  if (parts.includes('layouts')) {
    for (const layout of layouts) {
      console.log(`locmoe, ${layout}`);
      const rows = await measureOurs({ layout: layoutOf(layout), cases, repetition, signal });
      exchanges.push(...rows);
      rows.forEach(print);
    }
    const found = (row: ExchangeRow) => {
      exchanges.push(row);
      print(row);
    };
    notes = await measurePeers({ ...scope, workDir, signal, found, log: (line) => console.log(line) });
  }
  const hierarchy = parts.includes('hierarchical') ? await measureHierarchy(scope, signal) : [];
  const streams: StreamRow[] = [];
  for (const what of parts.includes('streams') ? STREAMS : []) {
    const row = await measureStream(what, { pieces: streamPieces, signal });
    streams.push(row);
    printStream(row);
  }
  const overlap = parts.includes('overlap')
    ? await measureOverlap({ repetitions: streamPieces, signal })
    : [];
  for (const { what, ms } of overlap) console.log(`sparse layer, ${what}: ${withSpread(ms)} ms`);
  return { exchanges, hierarchy, streams, overlap, notes };
}

async function measureHierarchy({ repetition }: Scope, signal: AbortSignal): Promise<ExchangeRow[]> {
  const { layout, link, bytes } = HIERARCHY;
  console.log(`locmoe, 4x4, flat and hierarchical over ${link.gbps} Gb/s and ${link.latencyMs} ms`);
  const cases = bytes.flatMap((each): ExchangeCase[] => [
    { collective: 'flat all-to-all', bytes: each },
    { collective: 'all-to-all', bytes: each },
  ]);
  const rows = await measureOurs({ layout, cases, repetition, interNodeLink: link, signal });
  rows.forEach(print);
  return rows;
}

function print({ collective, bytes, ms, busGbPerS, repetitions }: ExchangeRow): void {
  const time = `${withSpread(ms)} ms`;
  console.log(
    `  ${collective} ${formatSize(bytes)}: ${time}, ${busGbPerS.toFixed(2)} GB/s, ${repetitions} times`,
  );
}

function printStream({ what, mbPerS }: StreamRow): void {
  console.log(`${STREAM_LABELS[what]}: ${withSpread(mbPerS)} MB/s`);
}
