import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type MetricsRecord, numStepsOf, readRecords, tokensPerStep } from '@locmoe/run-format';
import { openCheckpoint } from '../../checkpoint/checkpoint.js';
import { committedFolders } from '../../checkpoint/folders.js';
import { momentName } from '../../checkpoint/rank-tensors.js';
import type { RunConfig } from '../../config/schema.js';
import { type ErrorCode, EXIT, TrainerError } from '../../errors.js';
import { formatNumberOf } from '../../format.js';
import { makeFolder } from '../../os/make-folder.js';
import { interruptible } from '../../os/on-signals.js';
import { processTree, proportionalBytes } from '../../os/process-info.js';
import { removeAbandoned, workMark } from '../../os/work-folder.js';
import { routerPolicy } from '../../routing/index.js';

const CLI = fileURLToPath(new URL('../cli.js', import.meta.url));
/** Steps of the speed measurement; the first one compiles, and the next are still slower than in a long run. */
const STEPS = 6;
const STEPS_TIMED = 3;
const MEMORY_INTERVAL_MS = 250;
const SIGNAL_INTERVAL_MS = 500;
/** Prefix of the trial folder's name. */
const FOLDER = '.doctor-';
/** Number of nodes, and of workers on each. */
type Size = readonly [number, number];
/** Largest relative difference that the layout law allows (test/e2e/layout-law.test.ts). */
export const TOLERANCE = 1e-4;

interface TrialRun {
  readonly steps: readonly {
    readonly loss: number;
    readonly gradientNorm: number;
    readonly stepMs: number;
  }[];
  /** Peak memory of all processes of the run, with shared pages counted once. */
  readonly peakBytes: number;
  readonly mostProcesses: number;
}

interface FirstStep extends Pick<TrialRun, 'steps'> {
  /** Gradient of each parameter, after clipping, times 1 - beta1. */
  readonly gradients: ReadonlyMap<string, Float32Array>;
}

/** Relative differences between one process and the layout in the first step. */
interface LayoutDifference {
  readonly loss: number;
  readonly gradientNorm: number;
  /** Norm of the difference of the gradients over their norm, for all parameters and for the one that differs most. */
  readonly gradient: number;
  readonly worst: { readonly parameter: string; readonly gradient: number };
  readonly isWithinTolerance: boolean;
}

export interface TrialReport {
  readonly layout: string;
  /** Null if the layout is one process. */
  readonly difference: LayoutDifference | null;
  /** Median time of the last steps. */
  readonly stepMs: number;
  readonly tokensPerS: number;
  readonly peakBytes: number;
  readonly processes: number;
  readonly numSteps: number;
  /** Estimated time of all steps, without validations and checkpoints. */
  readonly wholeRunS: number;
}

/**
 * Trains a configuration as `locmoe train` does: its first step both in its own layout and in one process, for comparison, and a
 * few steps for the speed. Leaves only the prepared dataset, which a training run needs too; a checkpoint beside it is temporary.
 *
 * @throws TrainerError if a run fails, with its output; `INTERRUPTED`
 */
export function trial(config: RunConfig, dataDir: string, say: (line: string) => void): Promise<TrialReport> {
  return interruptible('the trial was ended', (signal) => runTrial(config, dataDir, say, signal));
}

async function runTrial(
  config: RunConfig,
  dataDir: string,
  say: (line: string) => void,
  interruption: AbortSignal,
): Promise<TrialReport> {
  const { nodes, workersPerNode } = config.cluster;
  const layout = `${nodes}x${workersPerNode}`;
  makeFolder(dataDir, '--data-dir');
  removeAbandoned(dataDir, FOLDER);
  const folder = path.join(dataDir, `${FOLDER}${workMark()}`);
  mkdirSync(folder);
  try {
    const train = async <T>(
      steps: number,
      size: Size,
      own: RunConfig,
      take: (run: TrialRun, checkpoints: string) => T,
    ) => {
      const [file, runsDir] = [path.join(folder, 'config.yaml'), path.join(folder, 'runs')];
      writeFileSync(file, JSON.stringify(trialConfig(own, steps)));
      say(`training ${formatNumberOf(steps, 'step')} on ${size.join('x')} (nodes x workers)`);
      const watched = await watch(
        [
          '--config',
          file,
          '--data-dir',
          dataDir,
          '--runs-dir',
          runsDir,
          '--no-http',
          '--no-samples',
          '--nodes',
          String(size[0]),
          '--workers-per-node',
          String(size[1]),
        ],
        interruption,
      );
      const run = path.join(runsDir, readdirSync(runsDir)[0]!);
      const records = readRecords(path.join(run, 'metrics.ndjson'));
      const result = take({ ...watched, steps: stepsOf(records) }, path.join(run, 'checkpoints'));
      rmSync(runsDir, { recursive: true });
      return result;
    };
    const firstStep = (size: Size): Promise<FirstStep> =>
      train(1, size, inFloat32(config), ({ steps }, checkpoints) => ({
        steps,
        gradients: gradientsOf(checkpoints),
      }));
    const spread: Size = [nodes, workersPerNode];
    const difference =
      nodes * workersPerNode === 1 ? null : differenceOf(await firstStep([1, 1]), await firstStep(spread));
    const { steps, peakBytes, mostProcesses } = await train(STEPS, spread, config, (run) => run);
    const stepMs = median(steps.slice(-STEPS_TIMED).map((step) => step.stepMs));
    const numSteps = numStepsOf(config);
    return {
      layout,
      difference,
      stepMs,
      tokensPerS: (1000 * tokensPerStep(config)) / stepMs,
      peakBytes,
      processes: mostProcesses,
      numSteps,
      wholeRunS: (numSteps * stepMs) / 1000,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Returns the configuration in the precision in which layouts are compared: bfloat16 rounds the sums of each layout otherwise. */
function inFloat32({ train, cluster, ...config }: RunConfig): RunConfig {
  return {
    ...config,
    train: { ...train, precision: 'float32' },
    cluster: { ...cluster, wirePrecision: 'float32' },
  };
}

/** Returns the configuration of the trial: it ends with a checkpoint, and nothing depends on the layout by design. */
function trialConfig(config: RunConfig, steps: number): RunConfig {
  const looksAtNodes = 'localityLossWeight' in routerPolicy(config.moe.router).fields;
  return {
    ...config,
    moe: looksAtNodes ? { ...config.moe, localityLossWeight: 0 } : config.moe,
    data: { ...config.data, placement: 'mixed' },
    // The trial looks for failures, so it never restarts.
    cluster: { ...config.cluster, maxRestarts: 0 },
    train: {
      ...config.train,
      steps,
      maxTokens: null,
      maxHours: null,
      earlyStop: null,
      validateEvery: steps,
      checkpointEvery: steps,
      warmupSteps: Math.min(steps, config.train.warmupSteps),
    },
  };
}

/**
 * Runs `locmoe train` to its end and watches its memory.
 *
 * @throws TrainerError if it fails, with its exit code; the reason of `interruption`
 */
async function watch(args: readonly string[], interruption: AbortSignal): Promise<Omit<TrialRun, 'steps'>> {
  interruption.throwIfAborted();
  const child = spawn(process.execPath, [CLI, 'train', ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
    // A separate process group makes Ctrl-C in a terminal reach this process alone.
    detached: true,
  });
  let said = '';
  child.stderr.on('data', (chunk) => {
    said += chunk;
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  let signals: NodeJS.Timeout | undefined;
  const interrupt = () => {
    child.kill('SIGINT');
    // The second signal ends the run without a checkpoint, which nobody would read.
    signals = setInterval(() => child.kill('SIGINT'), SIGNAL_INTERVAL_MS);
  };
  interruption.addEventListener('abort', interrupt, { once: true });
  let [peakBytes, mostProcesses] = [0, 0];
  const memory = setInterval(() => {
    const pids = processTree([child.pid!]);
    const bytes = pids.map(proportionalBytes).reduce((sum, each) => sum + each, 0);
    peakBytes = Math.max(peakBytes, bytes);
    mostProcesses = Math.max(mostProcesses, pids.length);
  }, MEMORY_INTERVAL_MS);
  try {
    const code = await ended;
    interruption.throwIfAborted();
    if (code !== EXIT.done) throw failureOf(code, said);
  } finally {
    clearInterval(memory);
    clearInterval(signals);
    interruption.removeEventListener('abort', interrupt);
  }
  return { peakBytes, mostProcesses };
}

/** @throws TrainerError `NOT_FINITE` if a step was skipped */
function stepsOf(records: readonly MetricsRecord[]): TrialRun['steps'] {
  return records.flatMap((record) => {
    if (record.type !== 'step') return [];
    const { step, loss, gradientNorm, stepMs } = record;
    if (loss === null || gradientNorm === null)
      throw new TrainerError(
        'NOT_FINITE',
        `step ${step} of the trial was not finite; lower train.learningRate`,
      );
    return [{ loss, gradientNorm, stepMs }];
  });
}

/** Builds an error from the output of a training run, without advice about its folder, which is deleted. */
function failureOf(code: number | null, said: string): TrainerError {
  const kinds: Readonly<Record<number, ErrorCode>> = {
    [EXIT.badConfig]: 'BAD_INPUT',
    [EXIT.interrupted]: 'INTERRUPTED',
  };
  const lines = said.replace(/^ +(?:logs|resume|who lagged|look): .*\n/gm, '').trim();
  return new TrainerError(
    kinds[code ?? EXIT.failedRun] ?? 'WORKER_DIED',
    lines.replace(/^locmoe: /, '') || `the training ended with ${code ?? 'a signal'}`,
  );
}

/** Reads the gradients from Adam's first moment after the first step. */
function gradientsOf(checkpoints: string): Map<string, Float32Array> {
  const first = openCheckpoint(committedFolders(checkpoints).at(-1)!);
  const prefix = momentName('m', '');
  return new Map(
    Object.keys(first.manifest.tensors)
      .filter((name) => name.startsWith(prefix))
      .map((name) => [name.slice(prefix.length), first.read(name)]),
  );
}

/** Compares the first steps of a run in one process and of one that is spread over several. */
export function differenceOf(alone: FirstStep, spread: FirstStep): LayoutDifference {
  let [squares, differences] = [0, 0];
  let worst = { parameter: '', gradient: 0 };
  for (const [parameter, expected] of alone.gradients) {
    const found = spread.gradients.get(parameter)!;
    let [square, difference] = [0, 0];
    expected.forEach((value, i) => {
      square += value ** 2;
      difference += (value - found[i]!) ** 2;
    });
    squares += square;
    differences += difference;
    const gradient = Math.sqrt(difference / Math.max(square, Number.MIN_VALUE));
    if (gradient > worst.gradient) worst = { parameter, gradient };
  }
  const [a, b] = [alone.steps[0]!, spread.steps[0]!];
  const gradient = Math.sqrt(differences / squares);
  const loss = Math.abs(b.loss - a.loss) / a.loss;
  const gradientNorm = Math.abs(b.gradientNorm - a.gradientNorm) / a.gradientNorm;
  const isWithinTolerance = [gradient, loss, gradientNorm].every((each) => each <= TOLERANCE);
  return { loss, gradientNorm, gradient, worst, isWithinTolerance };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle) - 1]!) / 2;
}
