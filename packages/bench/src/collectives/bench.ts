import path from 'node:path';
import { EXIT } from 'locmoe/internal/errors';
import { formatTable } from 'locmoe/internal/format';
import { interruptible } from 'locmoe/internal/os/on-signals';
import { type BenchFolders, machine, makeBenchFolders, writeFigures } from '../folders.js';
import { type ExchangeCase, layoutOf } from './cases.js';
import { measureOurs } from './measure-ours.js';
import { measureOverlap } from './measure-overlap.js';
import { measurePeers } from './measure-peers.js';
import { measureStream } from './measure-streams.js';
import {
  digits,
  type ExchangeRow,
  formatSize,
  type Measurements,
  type Spread,
  STREAM_LABELS,
  STREAMS,
  SYSTEMS,
  withSpread,
} from './measurements.js';
import { HIERARCHY, type Scope, type ScopeOptions, scopeOf } from './scope.js';

/** Options of `locmoe bench collectives`; `workDir` holds compiled peers. */
export interface BenchCollectivesOptions extends ScopeOptions, BenchFolders {}

/**
 * `locmoe bench collectives`: times our collectives and those of peers between real processes, prints both
 * and writes `collectives.json`.
 *
 * @returns the exit code of the command
 * @throws TrainerError as `measureCollectives`
 */
export async function benchCollectives(options: BenchCollectivesOptions): Promise<number> {
  const measured = await measureCollectives(options);
  console.log(`\n${machine()}; times in ms, bus bandwidth of a rank in GB/s\n${tables(measured)}`);
  writeFigures(options.out, 'collectives.json', { machine: machine(), ...measured });
  return EXIT.done;
}

/**
 * @throws TrainerError `BAD_INPUT` before anything is run; the error of a rank that failed or received wrong data;
 *   `INTERRUPTED`
 */
export async function measureCollectives(options: BenchCollectivesOptions): Promise<Measurements> {
  const scope = scopeOf(options);
  makeBenchFolders(options);
  return interruptible('ended; nothing was reported', (signal) =>
    measure(scope, path.resolve(options.workDir), signal),
  );
}

async function measure(scope: Scope, workDir: string, signal: AbortSignal): Promise<Measurements> {
  const { parts, layouts, cases, repetition, streamPieces } = scope;
  const log = (line: string) => console.log(line);
  const exchanges: ExchangeRow[] = [];
  const found = (row: ExchangeRow) => {
    exchanges.push(row);
    const { collective, bytes, ms, busGbPerS, repetitions } = row;
    log(
      `  ${collective} ${formatSize(bytes)}: ${withSpread(ms)} ms, ${busGbPerS.toFixed(2)} GB/s, ${repetitions} times`,
    );
  };
  let notes: string[] = [];
  if (parts.includes('layouts')) {
    for (const layout of layouts) {
      log(`locmoe, ${layout}`);
      const rows = await measureOurs({ layout: layoutOf(layout), cases, repetition, signal });
      rows.forEach(found);
    }
    notes = await measurePeers({ ...scope, workDir, signal, found, log });
  }
  const hierarchy = parts.includes('hierarchical') ? await measureHierarchy(scope, signal) : [];
  const streams = [];
  for (const what of parts.includes('streams') ? STREAMS : []) {
    log(`stream, ${STREAM_LABELS[what]}`);
    streams.push(await measureStream(what, { pieces: streamPieces, signal }));
  }
  const overlap = parts.includes('overlap')
    ? await measureOverlap({ repetitions: streamPieces, signal })
    : [];
  return { exchanges, hierarchy, streams, overlap, notes };
}

function measureHierarchy({ repetition }: Scope, signal: AbortSignal): Promise<ExchangeRow[]> {
  const { layout, link, bytes } = HIERARCHY;
  console.log(`locmoe, 4x4, flat and hierarchical over ${link.gbps} Gb/s and ${link.latencyMs} ms`);
  const cases = bytes.flatMap((each): ExchangeCase[] => [
    { collective: 'flat all-to-all', bytes: each },
    { collective: 'all-to-all', bytes: each },
  ]);
  return measureOurs({ layout, cases, repetition, interNodeLink: link, signal });
}

/** Returns the tables: each case with its peers side by side, then the rest. */
function tables({ exchanges, hierarchy, streams, overlap }: Measurements): string {
  const sorted = [...exchanges].sort(
    (a, b) =>
      a.collective.localeCompare(b.collective) ||
      a.numRanks - b.numRanks ||
      a.bytes - b.bytes ||
      SYSTEMS.indexOf(a.system) - SYSTEMS.indexOf(b.system),
  );
  const exchangeCells = (row: ExchangeRow) => [
    row.collective,
    formatSize(row.bytes),
    row.system === 'locmoe' ? `locmoe ${row.layout}` : `${row.system}, ${row.layout}`,
    ...spreadCells(row.ms),
    digits(row.busGbPerS),
  ];
  const header = ['bytes', 'system', 'median', 'p10', 'p90', 'bus'];
  return [
    table('', header, sorted.map(exchangeCells), [2]),
    table('over a slow link', header, hierarchy.map(exchangeCells), [2]),
    table(
      'sparse layer, forward and backward',
      ['median', 'p10', 'p90'],
      overlap.map(({ what, ms }) => [what, ...spreadCells(ms)]),
    ),
    table(
      'stream, MB/s',
      ['median', 'p10', 'p90'],
      streams.map(({ what, mbPerS }) => [STREAM_LABELS[what], ...spreadCells(mbPerS)]),
    ),
  ]
    .filter((text) => text !== '')
    .join('\n\n');
}

function spreadCells({ median, p10, p90 }: Spread): string[] {
  return [median, p10, p90].map(digits);
}

/** Formats a table; the text is empty if there are no rows. */
function table(
  title: string,
  columns: readonly string[],
  rows: readonly (readonly string[])[],
  textColumns: readonly number[] = [],
): string {
  return rows.length === 0 ? '' : formatTable([[title, ...columns], ...rows], { textColumns });
}
