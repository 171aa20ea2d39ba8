import path from 'node:path';
import { median } from '../statistics.js';
import type { ExchangeCase } from './cases.js';
import type { System } from './measurements.js';
import {
  bestResults,
  PEER_PROGRAMS,
  type Peer,
  type PeerOptions,
  type PeerResult,
  parseResults,
  programArguments,
} from './peer.js';
import { runCommand } from './run-command.js';

const COMPILE_MS = 60_000;
const RUN_MS = 240_000;

/** The ob1 PML with a single BTL (besides self), so that the transport measured is known. */
const TRANSPORTS: Readonly<Partial<Record<System, readonly string[]>>> = {
  'OpenMPI, shared memory': ['--mca', 'btl', 'self,sm'],
  'OpenMPI, TCP': ['--mca', 'btl', 'self,tcp', '--mca', 'btl_tcp_if_include', 'lo'],
};

/** Process binding and wait settings; the fastest depends on the case, so all are tried. */
const SETTINGS = ['', '--bind-to none', '--bind-to none --mca mpi_yield_when_idle 1'] as const;
/** Above this size only the setting that was fastest up to it is run, to save time. */
const MOST_TRIED_BYTES = 1 << 20;

/**
 * OpenMPI: MPI_Alltoall and MPI_Allreduce, in a program compiled into `workDir`.
 *
 * @throws Error if `mpicc` or `mpirun` is missing or fails
 */
export async function prepareOpenMpi(workDir: string, signal: AbortSignal): Promise<Peer> {
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
    ...['--oversubscribe', '-n', String(numRanks), '--mca', 'pml', 'ob1', ...TRANSPORTS[system]!],
    ...[...setting.split(' ').filter(Boolean), program, ...programArguments(options)],
  ];
  // OpenMPI creates its session folder in TMPDIR, and would leave it there if killed.
  const env = { TMPDIR: options.workDir };
  const output = await runCommand('mpirun', { args, env, deadlineMs: RUN_MS, signal: options.signal });
  return parseResults(output, setting);
}

/** The setting with the smallest geometric mean of medians; the first if none was tried. */
export function fastestSetting(results: readonly PeerResult[]): string {
  const costOf = (setting: string) =>
    results
      .filter((result) => result.setting === setting)
      .reduce((sum, { ms }) => sum + Math.log(median(ms)), 0);
  return [...SETTINGS].sort((a, b) => costOf(a) - costOf(b))[0]!;
}
