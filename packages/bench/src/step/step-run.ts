import { STEP_PARTS, type StepPart } from '@locmoe/run-format';
import { processTree, proportionalBytes } from 'locmoe/internal/os/process-info';
import { median } from '../statistics.js';

/** Warm-up steps (caches, JIT), excluded from times. */
const WARM_UP_STEPS = 3;
/** Minimum number of steps; with fewer, none would be timed. */
export const LEAST_STEPS = 4;

/** The ways to run our trainer and PyTorch, and our trainer with another router. */
export const PROGRAMS = [
  ...(['own', 'own-bfloat16', 'own-webgpu'] as const),
  ...(['peer', 'peer-bfloat16', 'peer-compiled'] as const),
  'locmoe-plus',
] as const;
export type Program = (typeof PROGRAMS)[number];
export type PeerProgram = Extract<Program, `peer${string}`>;

export function isPeer(program: Program): program is PeerProgram {
  return program.startsWith('peer');
}

export const PROGRAM_LABELS: Readonly<Record<Program, string>> = {
  own: 'locmoe',
  'own-bfloat16': 'locmoe, bfloat16',
  'own-webgpu': 'locmoe, WebGPU',
  peer: 'PyTorch + Gloo',
  'peer-bfloat16': 'PyTorch + Gloo, bfloat16 autocast',
  'peer-compiled': 'PyTorch + Gloo, torch.compile',
  'locmoe-plus': 'locmoe (locmoe-plus)',
};

/** Returns the way to run PyTorch with the most tokens per second, by its median over turns; null if none ran. */
export function fastestPeer(
  turns: readonly { readonly runs: Readonly<Partial<Record<Program, StepRun>>> }[],
): PeerProgram | null {
  const speed = (program: Program) => median(turns.flatMap(({ runs }) => runs[program]?.tokensPerS ?? []));
  const ran = PROGRAMS.filter(isPeer).filter((program) => !Number.isNaN(speed(program)));
  return ran.sort((a, b) => speed(b) - speed(a))[0] ?? null;
}

export function stepMsOf(run: StepRun): number {
  return median(run.stepMs);
}

export type PartMs = Readonly<Record<StepPart | 'other', number>>;

/** One step of a program, over all ranks. */
export interface TimedStep {
  /** Loss, mean over the global batch, in nats. */
  readonly loss: number;
  /** End of the step on the last rank, in ms since 1970. */
  readonly endedAtMs: number;
  /** Time of each part, mean over ranks. */
  readonly partsMs: Readonly<Record<StepPart, number>>;
}

export interface StepRun {
  readonly losses: readonly number[];
  /** Wall-clock time from the end of one step to the end of the next, for timed steps. */
  readonly stepMs: readonly number[];
  /** Medians over timed steps; `other` is the remainder of a step. */
  readonly partsMs: PartMs;
  readonly tokensPerS: number;
  /** Peak memory of all processes of the program together, in bytes. */
  readonly peakBytes: number;
  /**
   * Garbage collection per step, mean over ranks, in ms; contained in the other parts. Null if not
   * applicable.
   */
  readonly gcMs: number | null;
  /** Kept choices per token and sparse layer; null if the program does not report them. */
  readonly keptPerToken: number | null;
}

/** Returns the range of timed steps, which leaves out the warm-up and the last step: the run's end delays its report. */
export function countedSteps(numSteps: number): { readonly from: number; readonly to: number } {
  return { from: Math.min(WARM_UP_STEPS, numSteps - LEAST_STEPS + 1), to: numSteps - 1 };
}

/**
 * @param steps at least `LEAST_STEPS`
 * @param tokensPerStep over all ranks
 */
export function summarize(
  steps: readonly TimedStep[],
  tokensPerStep: number,
  rest: Pick<StepRun, 'peakBytes' | 'gcMs' | 'keptPerToken'>,
): StepRun {
  const { from, to } = countedSteps(steps.length);
  const stepMs = steps.slice(from, to).map((step, i) => step.endedAtMs - steps[from + i - 1]!.endedAtMs);
  const counted = steps.slice(from, to);
  const parts = Object.fromEntries(
    STEP_PARTS.map((part) => [part, median(counted.map(({ partsMs }) => partsMs[part]))]),
  ) as Record<StepPart, number>;
  const others = counted.map(
    ({ partsMs }, i) => stepMs[i]! - Object.values(partsMs).reduce((sum, ms) => sum + ms, 0),
  );
  return {
    losses: steps.map(({ loss }) => loss),
    stepMs,
    // Negative only if reports of short steps arrive unevenly.
    partsMs: { ...parts, other: Math.max(0, median(others)) },
    tokensPerS: (1000 * tokensPerStep) / median(stepMs),
    ...rest,
  };
}

/** Minimum pause between two samples. */
const SAMPLE_MS = 500;
/**
 * Share of a core that sampling may take from the sampled processes: a sample reads all their page tables,
 * 80 ms for 2 GB.
 */
const SAMPLING_SHARE = 0.05;

/**
 * Measures the peak memory of processes and their descendants during `run`: the maximum over samples of the
 * summed PSS, so that shared pages (libraries, shared memory) count once. Summed VmHWM would count them per
 * process and add peaks of different moments.
 *
 * @param run receives a function that adds a process to those watched
 */
export async function withPeakMemory<T>(
  run: (watch: (pid: number) => void) => Promise<T>,
): Promise<{ readonly value: T; readonly peakBytes: number }> {
  const roots: number[] = [];
  let peakBytes = 0;
  let timer: ReturnType<typeof setTimeout>;
  const sample = () => {
    const startedMs = performance.now();
    const bytes = processTree(roots).reduce((sum, pid) => sum + proportionalBytes(pid), 0);
    peakBytes = Math.max(peakBytes, bytes);
    const tookMs = performance.now() - startedMs;
    timer = setTimeout(sample, Math.max(SAMPLE_MS, tookMs / SAMPLING_SHARE));
  };
  timer = setTimeout(sample, SAMPLE_MS);
  try {
    const value = await run((pid) => roots.push(pid));
    return { value, peakBytes };
  } finally {
    clearTimeout(timer);
  }
}
