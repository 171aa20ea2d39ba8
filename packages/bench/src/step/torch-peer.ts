import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { STEP_PARTS, type StepPart } from '@locmoe/run-format';
import { ALLOCATOR_ENV } from 'locmoe/internal/agent/worker-env';
import { TrainerError } from 'locmoe/internal/errors';
import { mean } from '../statistics.js';
import { lastLine } from '../training.js';
import type { PeerInputs } from './inputs.js';
import { type PeerProgram, type StepRun, summarize, type TimedStep, withPeakMemory } from './step-run.js';

const PROGRAM = fileURLToPath(new URL('../../peers/step_torch/main.py', import.meta.url));
/** The first interpreter with PyTorch is used; the one on PATH may not be Debian's. */
const INTERPRETERS = ['python3', '/usr/bin/python3'];

/**
 * PyTorch at its best with one process per rank: one thread each, so that threads do not compete for cores;
 * memory of large tensors is kept for reuse, as in our workers; the loopback device, so that no host name
 * needs resolving.
 */
export const TORCH_SETTINGS: Readonly<Record<string, string>> = {
  OMP_NUM_THREADS: '1',
  OPENBLAS_NUM_THREADS: '1',
  MKL_NUM_THREADS: '1',
  ...ALLOCATOR_ENV,
  USE_LIBUV: '0',
  GLOO_SOCKET_IFNAME: 'lo',
};

/** Settings that are not passed on, because they make OpenBLAS choose kernels for another processor. */
export const KERNEL_SETTINGS = { OPENBLAS_CORETYPE: undefined, OPENBLAS_L2_SIZE: undefined } as const;

const environment = () => ({ ...process.env, ...TORCH_SETTINGS, ...KERNEL_SETTINGS });

export interface TorchPeer {
  readonly python: string;
  readonly version: string;
  /**
   * OpenBLAS's name for the processor whose kernels it uses; null if unknown or if another library is used.
   */
  readonly kernels: string | null;
}

/** Record of one step on one rank. */
interface RankStep {
  readonly loss: number;
  readonly endedAtMs: number;
  readonly partsMs: Partial<Record<StepPart, number>>;
}

/**
 * Prints the version, OpenBLAS's name of its kernels, then the libraries loaded by the process, among them
 * its BLAS.
 */
const LOOK = `
import ctypes, torch
maps = open("/proc/self/maps").read()
def kernels():
    for path in {line.split()[-1] for line in maps.splitlines() if "blas" in line}:
        name = getattr(ctypes.CDLL(path), "openblas_get_corename", None)
        if name is not None:
            name.restype = ctypes.c_char_p
            return name().decode()
    return ""
print(torch.__version__, kernels(), maps, sep="\\n")
`;
/** Debian's reference BLAS, plain loops: PyTorch uses it if no other is installed. */
const REFERENCE_BLAS = /\/blas\/libblas\.so/;

/**
 * @param interpreters tried in order
 * @throws TrainerError `NO_RESOURCE` if none has PyTorch, or the one that does has only the reference BLAS,
 *   with which the peer would be slow through no fault of its own
 */
export function findTorch(interpreters: readonly string[] = INTERPRETERS): TorchPeer {
  for (const python of interpreters) {
    const { status, stdout } = spawnSync(python, ['-c', LOOK], {
      encoding: 'utf8',
      env: environment(),
    });
    if (status !== 0) continue;
    if (REFERENCE_BLAS.test(stdout))
      throw new TrainerError(
        'NO_RESOURCE',
        `--peer torch: PyTorch of ${python} multiplies matrices with the slow reference BLAS; install OpenBLAS with packages/bench/peers/install.sh (Debian package libopenblas0)`,
      );
    const [version, kernels] = stdout.split('\n');
    return { python, version: version!, kernels: kernels || null };
  }
  throw new TrainerError(
    'NO_RESOURCE',
    `--peer torch: none of ${interpreters.join(', ')} can import torch; install it with packages/bench/peers/install.sh (Debian packages python3-torch, libopenblas0)`,
  );
}

export function describePeer({ python, version, kernels }: TorchPeer): string {
  return `PyTorch ${version} of ${python}, ${kernels === null ? 'not with OpenBLAS' : `OpenBLAS's kernels ${kernels}`}`;
}

/** Python program that compiles a minimal function. */
const COMPILE = 'import torch; print(torch.compile(lambda x: torch.tanh(x) + 1)(torch.ones(64)).sum())';
const COMPILE_MS = 120_000;

/** Whether `torch.compile` works here: it needs a C++ compiler. Takes seconds. */
export function canCompile({ python }: TorchPeer): boolean {
  return (
    spawnSync(python, ['-c', COMPILE], { env: environment(), timeout: COMPILE_MS, stdio: 'ignore' })
      .status === 0
  );
}

export interface PeerRunOptions {
  readonly peer: TorchPeer;
  readonly program: PeerProgram;
  readonly inputs: PeerInputs;
  readonly worldSize: number;
  readonly tokensPerStep: number;
  /** Emptied first; removed at the end unless a rank failed. */
  readonly folder: string;
  /** Signal that aborts the ranks. */
  readonly signal: AbortSignal;
}

/**
 * Trains with PyTorch and Gloo, one process per rank, and waits for the end.
 *
 * @throws TrainerError `INTERNAL` if a rank failed, with its last line of output; the reason of `signal`
 */
export async function runTorch(options: PeerRunOptions): Promise<StepRun> {
  const { folder, worldSize, tokensPerStep, signal } = options;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const { value: failed, peakBytes } = await withPeakMemory((watch) => runRanks(options, watch));
  if (signal.aborted) rmSync(folder, { recursive: true });
  signal.throwIfAborted();
  if (failed !== null)
    throw new TrainerError(
      'INTERNAL',
      `rank ${failed} of the PyTorch program failed: ${lastLine(outputOf(folder, failed))} (all of it: ${outputOf(folder, failed)})`,
    );
  const ranks = Array.from(
    { length: worldSize },
    (_, rank): readonly RankStep[] => JSON.parse(readFileSync(resultOf(folder, rank), 'utf8')).steps,
  );
  rmSync(folder, { recursive: true });
  return summarize(putTogether(ranks), tokensPerStep, { peakBytes, gcMs: null, keptPerToken: null });
}

/** @returns the first rank that failed, or null; all ranks have ended by then */
async function runRanks(options: PeerRunOptions, watch: (pid: number) => void): Promise<number | null> {
  const children = Array.from({ length: options.worldSize }, (_, rank) => startRank(options, rank));
  const killAll = () => {
    for (const child of children) child.kill('SIGKILL');
  };
  options.signal.addEventListener('abort', killAll);
  if (options.signal.aborted) killAll();
  let failed: number | null = null;
  try {
    await Promise.all(
      children.map(async (child, rank) => {
        if (child.pid !== undefined) watch(child.pid);
        if ((await exitCode(child)) === 0) return;
        // The other ranks would wait until their timeout.
        failed ??= rank;
        killAll();
      }),
    );
  } finally {
    options.signal.removeEventListener('abort', killAll);
  }
  return failed;
}

function startRank({ peer, program, inputs, worldSize, folder }: PeerRunOptions, rank: number): ChildProcess {
  const output = openSync(outputOf(folder, rank), 'w');
  const args = {
    config: inputs.configFile,
    weights: inputs.weightsFile,
    batches: inputs.batchesFile,
    store: path.join(folder, 'store'),
    out: resultOf(folder, rank),
    parent: process.pid,
    rank,
    'world-size': worldSize,
    mode: program === 'peer' ? 'float32' : program.slice('peer-'.length),
  };
  const child = spawn(
    peer.python,
    [PROGRAM, ...Object.entries(args).flatMap(([name, value]) => [`--${name}`, String(value)])],
    {
      stdio: ['ignore', output, output],
      // Ctrl-C should reach only this command, which then ends the ranks.
      detached: true,
      env: { ...environment(), PYTHONDONTWRITEBYTECODE: '1' },
    },
  );
  closeSync(output);
  return child;
}

function exitCode(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => child.on('error', () => resolve(null)).on('exit', resolve));
}

/** Merges the steps of all ranks: mean of losses and parts, end of the last rank. */
export function putTogether(ranks: readonly (readonly RankStep[])[]): TimedStep[] {
  return ranks[0]!.map((_, step) => {
    const records = ranks.map((records) => records[step]!);
    return {
      loss: mean(records.map(({ loss }) => loss)),
      endedAtMs: Math.max(...records.map(({ endedAtMs }) => endedAtMs)),
      // Gloo does not separate waiting from moving bytes.
      partsMs: Object.fromEntries(
        STEP_PARTS.map((part) => [part, mean(records.map(({ partsMs }) => partsMs[part] ?? 0))]),
      ) as TimedStep['partsMs'],
    };
  });
}

function outputOf(folder: string, rank: number): string {
  return path.join(folder, `rank-${rank}.txt`);
}

function resultOf(folder: string, rank: number): string {
  return path.join(folder, `rank-${rank}.json`);
}
