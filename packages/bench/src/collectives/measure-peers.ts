import { rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { median } from '../statistics.js';
import { KERNEL_SETTINGS } from '../step/torch-peer.js';
import {
  busGbPerS,
  type Collective,
  type ExchangeCase,
  layoutOf,
  type Repetition,
  warmUpsOf,
} from './cases.js';
import { type ExchangeRow, type System, sampled, spreadOf } from './measurements.js';
import { runCommand } from './run-command.js';
import type { LayoutName, PeerName } from './scope.js';

/** Folder of the peer programs; the same from src/ and dist/. */
const PEER_PROGRAMS = fileURLToPath(new URL('../../peers/', import.meta.url));

interface PeerOptions {
  readonly cases: readonly ExchangeCase[];
  readonly repetition: Repetition;
  /** Folder for compiled programs and for the rendezvous files of processes. */
  readonly workDir: string;
  readonly signal: AbortSignal;
}

/** Another implementation of the collectives, ready to run. */
interface Peer {
  readonly version: string;
  /** Name of each system measured, each of which is compared with one of our layouts. */
  readonly systems: readonly System[];
  /** Runs all cases as `system` on a number of processes. */
  measure(system: System, numRanks: number, options: PeerOptions): Promise<PeerResult[]>;
}

export interface PeerResult {
  readonly collective: Collective;
  readonly bytes: number;
  readonly repetitions: number;
  /** Durations of a repetition in ms, one per sample. */
  readonly ms: readonly number[];
  readonly setting: string;
}

export function programArguments({ cases, repetition }: PeerOptions): string[] {
  const { caseMs, least, most } = repetition;
  return [
    ...[caseMs, least, most].map(String),
    ...cases.map((each) => `${each.collective}:${each.bytes}:${warmUpsOf(each)}`),
  ];
}

/** Parses the output of a peer program: one line of JSON per case. */
export function parseResults(output: string, setting: string): PeerResult[] {
  return output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => {
      const { collective, bytes, ms } = JSON.parse(line);
      return { collective, bytes, repetitions: ms.length, ms: sampled(ms), setting };
    });
}

/** Returns the result with the smallest median for each case, as a peer is judged at its best. */
export function bestResults(results: readonly PeerResult[]): PeerResult[] {
  const best = new Map<string, PeerResult>();
  for (const result of results) {
    const key = `${result.collective}/${result.bytes}`;
    const known = best.get(key);
    if (known === undefined || median(result.ms) < median(known.ms)) best.set(key, result);
  }
  return [...best.values()];
}

export function peerRow(system: System, numRanks: number, result: PeerResult): ExchangeRow {
  const { collective, bytes, repetitions, setting } = result;
  const ms = spreadOf(result.ms);
  return {
    collective,
    bytes,
    system,
    numRanks,
    ms,
    setting,
    layout: `${numRanks} ranks`,
    repetitions,
    busGbPerS: busGbPerS(result, numRanks, ms.median),
    agents: null,
  };
}

const INTERPRETERS = ['python3', '/usr/bin/python3'] as const;
const IMPORT_MS = 60_000;
const RUN_MS = 240_000;
const VERSION =
  'import torch; from torch.distributed import is_gloo_available; assert is_gloo_available(); print(torch.__version__)';

/** One thread per process, so that threads do not compete for cores; everything on the loopback. */
const ENVIRONMENT = {
  USE_LIBUV: '0',
  OMP_NUM_THREADS: '1',
  OPENBLAS_NUM_THREADS: '1',
  GLOO_SOCKET_IFNAME: 'lo',
  ...KERNEL_SETTINGS,
} as const;

/**
 * Prepares Gloo through PyTorch: all_to_all_single and all_reduce.
 *
 * @throws Error if no interpreter has PyTorch with Gloo
 */
async function prepareGloo(_workDir: string, signal: AbortSignal): Promise<Peer> {
  const { python, version } = await findPython(signal);
  return {
    version: `PyTorch ${version}`,
    systems: ['Gloo'],
    measure: async (_system, numRanks, options) => {
      const store = path.resolve(options.workDir, 'gloo-store');
      rmSync(store, { force: true });
      const ended = new AbortController();
      const run = (rank: number) =>
        runCommand(python, {
          args: [
            path.join(PEER_PROGRAMS, 'collectives_gloo.py'),
            String(rank),
            String(numRanks),
            store,
            ...programArguments(options),
          ],
          env: ENVIRONMENT,
          deadlineMs: RUN_MS,
          signal: AbortSignal.any([options.signal, ended.signal]),
        }).catch((error) => {
          // The other ranks would wait until their timeout.
          ended.abort(error);
          throw error;
        });
      const runs = await Promise.allSettled(Array.from({ length: numRanks }, (_, rank) => run(rank)));
      rmSync(store, { force: true });
      ended.signal.throwIfAborted();
      const first = runs[0]!;
      return parseResults(first.status === 'fulfilled' ? first.value : '', 'one thread a process');
    },
  };
}

async function findPython(signal: AbortSignal): Promise<{ python: string; version: string }> {
  const errors: string[] = [];
  for (const python of INTERPRETERS)
    try {
      const version = await runCommand(python, { args: ['-c', VERSION], deadlineMs: IMPORT_MS, signal });
      return { python, version: version.trim() };
    } catch (error) {
      errors.push((error as Error).message);
    }
  signal.throwIfAborted();
  throw new Error(errors.at(-1));
}

const COMPILE_MS = 60_000;

/** The ob1 PML with a single BTL (besides self), so that the transport measured is known. */
const TRANSPORTS: Readonly<Partial<Record<System, readonly string[]>>> = {
  'OpenMPI, shared memory': ['--mca', 'btl', 'self,sm'],
  'OpenMPI, TCP': ['--mca', 'btl', 'self,tcp', '--mca', 'btl_tcp_if_include', 'lo'],
};

/** Process binding and wait settings; the fastest depends on the case, so all are tried. */
const SETTINGS = ['', '--bind-to none', '--bind-to none --mca mpi_yield_when_idle 1'] as const;
/** To save time, larger sizes are run only with the setting that was fastest up to this size. */
const MOST_TRIED_BYTES = 1 << 20;

/**
 * Prepares OpenMPI: MPI_Alltoall and MPI_Allreduce, in a program compiled into `workDir`.
 *
 * @throws Error if `mpicc` or `mpirun` is missing or fails
 */
async function prepareOpenMpi(workDir: string, signal: AbortSignal): Promise<Peer> {
  const program = path.join(workDir, 'collectives_mpi');
  const source = path.join(PEER_PROGRAMS, 'collectives_mpi.c');
  const version = await runCommand('mpirun', { args: ['--version'], deadlineMs: COMPILE_MS, signal });
  await runCommand('mpicc', { args: ['-O2', '-o', program, source], deadlineMs: COMPILE_MS, signal });
  return {
    version: version.split('\n')[0]!.replace(/^.*\(Open MPI\) /, 'OpenMPI '),
    systems: ['OpenMPI, shared memory', 'OpenMPI, TCP'],
    measure: async (system, numRanks, options) => {
      const run = (setting: string, cases: readonly ExchangeCase[]) =>
        runProgram(program, system, numRanks, setting, { ...options, cases });
      const isTried = ({ bytes }: ExchangeCase) => bytes <= MOST_TRIED_BYTES;
      const tried = options.cases.filter(isTried);
      const large = options.cases.filter((each) => !isTried(each));
      const results: PeerResult[] = [];
      for (const setting of SETTINGS) if (tried.length > 0) results.push(...(await run(setting, tried)));
      if (large.length > 0) results.push(...(await run(fastestSetting(results), large)));
      return bestResults(results);
    },
  };
}

async function runProgram(
  program: string,
  system: System,
  numRanks: number,
  setting: string,
  options: PeerOptions,
): Promise<PeerResult[]> {
  const args = [
    ...(process.getuid?.() === 0 ? ['--allow-run-as-root'] : []),
    '--oversubscribe',
    '-n',
    String(numRanks),
    '--mca',
    'pml',
    'ob1',
    ...TRANSPORTS[system]!,
    ...setting.split(' ').filter(Boolean),
    program,
    ...programArguments(options),
  ];
  // OpenMPI creates its session folder in TMPDIR, and would leave it there if killed.
  const env = { TMPDIR: options.workDir };
  const output = await runCommand('mpirun', { args, env, deadlineMs: RUN_MS, signal: options.signal });
  return parseResults(output, setting);
}

/** Returns the setting with the smallest geometric mean of medians; the first if none was tried. */
export function fastestSetting(results: readonly PeerResult[]): string {
  const costOf = (setting: string) =>
    results
      .filter((result) => result.setting === setting)
      .reduce((sum, { ms }) => sum + Math.log(median(ms)), 0);
  return [...SETTINGS].sort((a, b) => costOf(a) - costOf(b))[0]!;
}

const PREPARE: Readonly<Record<PeerName, (workDir: string, signal: AbortSignal) => Promise<Peer>>> = {
  openmpi: prepareOpenMpi,
  gloo: prepareGloo,
};

/** Returns the distinct numbers of ranks: a peer is measured once for each. */
export function numbersOfRanks(system: System, layouts: readonly LayoutName[]): number[] {
  const compared = layouts.map(layoutOf).filter(({ numNodes }) => {
    if (system === 'OpenMPI, shared memory') return numNodes === 1;
    return system !== 'OpenMPI, TCP' || numNodes > 1;
  });
  return [...new Set(compared.map(({ numNodes, workersPerNode }) => numNodes * workersPerNode))];
}

interface PeersOptions extends PeerOptions {
  readonly peers: readonly PeerName[];
  readonly layouts: readonly LayoutName[];
  readonly log: (line: string) => void;
  readonly found: (row: ExchangeRow) => void;
}

/**
 * Times installed peers. A missing or failed peer costs only its own figures.
 *
 * @returns a line per peer: its version, or why it has no figures
 */
export async function measurePeers(options: PeersOptions): Promise<string[]> {
  const notes: string[] = [];
  for (const name of options.peers) {
    const note = await measurePeer(name, options);
    options.log(note);
    notes.push(note);
  }
  return notes;
}

async function measurePeer(name: PeerName, options: PeersOptions): Promise<string> {
  const { workDir, signal, layouts, log, found } = options;
  try {
    const peer = await PREPARE[name](workDir, signal);
    for (const system of peer.systems)
      for (const numRanks of numbersOfRanks(system, layouts)) {
        log(`${system}, ${numRanks} ranks`);
        for (const result of await peer.measure(system, numRanks, options))
          found(peerRow(system, numRanks, result));
      }
    return `${name}: ${peer.version}`;
  } catch (error) {
    signal.throwIfAborted();
    return `${name}: not measured (packages/bench/peers/install.sh installs it): ${(error as Error).message}`;
  }
}
