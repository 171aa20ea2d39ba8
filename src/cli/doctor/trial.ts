import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { openCheckpoint } from '../../checkpoint/checkpoint.js';
import { momentName } from '../../checkpoint/checkpointer.js';
import { committedFolders } from '../../checkpoint/folders.js';
import { numStepsOf, tokensPerStep } from '../../config/run-length.js';
import type { RunConfig } from '../../config/schema.js';
import { TrainerError } from '../../errors.js';
import { processTree, proportionalBytes } from '../../os/process-info.js';
import { routerPolicy } from '../../routing/index.js';
import type { GlobalStep } from '../../run/global-step.js';
import { readRecords } from '../../run/metrics-record.js';

const CLI = fileURLToPath(new URL('../cli.js', import.meta.url));
/** The first compiles, and the next are still slower than those of a long run. */
const STEPS = 6;
const STEPS_TIMED = 3;
const MEMORY_INTERVAL_MS = 250;
/** Greatest relative difference of the layout law (test/e2e/layout-law.test.ts). */
export const TOLERANCE = 1e-4;

type FirstStep = Pick<TrialRun, 'steps' | 'gradients'>;

interface TrialRun {
  /** Of each step. */
  readonly steps: readonly Pick<GlobalStep, 'loss' | 'gradientNorm' | 'stepMs'>[];
  /** Gradient of each parameter in the first step, after clipping, times 1 - beta1. */
  readonly gradients: ReadonlyMap<string, Float32Array>;
  /** Greatest sum over all processes of the run, shared pages counted once. */
  readonly peakBytes: number;
  readonly mostProcesses: number;
}

/** Relative differences between one process and the layout in the first step. */
interface LayoutDifference {
  readonly loss: number;
  readonly gradientNorm: number;
  /** Norm of the difference of the gradients over their norm: of all parameters, and of the one that differs most. */
  readonly gradient: number;
  readonly worst: { readonly parameter: string; readonly gradient: number };
  readonly isWithinTolerance: boolean;
}

export interface TrialReport {
  readonly layout: string;
  /** Null if the layout is one process. */
  readonly difference: LayoutDifference | null;
  /** Median of the last steps. */
  readonly stepMs: number;
  readonly tokensPerS: number;
  readonly peakBytes: number;
  readonly processes: number;
  readonly numSteps: number;
  /** Steps alone: no validation, no checkpoint. */
  readonly wholeRunS: number;
}

/**
 * Trains a configuration for a few steps in its own layout and in one process, as `locmoe train` does, and compares.
 * Leaves the prepared dataset, which a training needs too, and nothing else.
 *
 * @throws TrainerError if a run fails, with what it said; `INTERRUPTED`
 */
export async function trial(
  config: RunConfig,
  dataDir: string,
  say: (line: string) => void,
): Promise<TrialReport> {
  const { nodes, workersPerNode } = config.cluster;
  const layout = `${nodes}x${workersPerNode}`;
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-doctor-'));
  try {
    const file = path.join(folder, 'config.yaml');
    writeFileSync(file, JSON.stringify(trialConfig(config)));
    const train = (nodesOfRun: number, workers: number) => {
      say(`training ${STEPS} steps on ${nodesOfRun}x${workers} (nodes x workers)`);
      const args = ['--config', file, '--data-dir', dataDir, '--no-http', '--no-samples'];
      const size = ['--nodes', String(nodesOfRun), '--workers-per-node', String(workers)];
      return trainingRun([...args, ...size], path.join(folder, `${nodesOfRun}x${workers}`));
    };
    const spread = await train(nodes, workersPerNode);
    const alone = nodes * workersPerNode === 1 ? null : await train(1, 1);
    const stepMs = median(spread.steps.slice(-STEPS_TIMED).map((step) => step.stepMs));
    const numSteps = numStepsOf(config);
    return {
      layout,
      difference: alone && differenceOf(alone, spread),
      stepMs,
      tokensPerS: (1000 * tokensPerStep(config)) / stepMs,
      peakBytes: spread.peakBytes,
      processes: spread.mostProcesses,
      numSteps,
      wholeRunS: (numSteps * stepMs) / 1000,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A few steps with a checkpoint after each, and nothing that depends on the layout by design. */
function trialConfig(config: RunConfig): RunConfig {
  const looksAtNodes = 'localityLossWeight' in routerPolicy(config.moe.router).fields;
  return {
    ...config,
    moe: looksAtNodes ? { ...config.moe, localityLossWeight: 0 } : config.moe,
    data: { ...config.data, placement: 'mixed' },
    train: {
      ...config.train,
      ...{ steps: STEPS, maxTokens: null, maxHours: null, earlyStop: null },
      ...{ validateEvery: STEPS, checkpointEvery: 1, keepCheckpoints: STEPS },
    },
  };
}

async function trainingRun(args: readonly string[], runsDir: string): Promise<TrialRun> {
  const child = spawn(process.execPath, [CLI, 'train', ...args, '--runs-dir', runsDir], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (chunk) => {
    said += chunk;
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  let interruption: NodeJS.Signals | null = null;
  // The terminal has sent its signal to the run too; a second one ends it without a checkpoint.
  const interrupted = (signal: NodeJS.Signals) => {
    interruption = signal;
    child.kill(signal);
  };
  const signals = ['SIGINT', 'SIGTERM'] as const;
  for (const signal of signals) process.on(signal, interrupted);
  const peak = { bytes: 0, processes: 0 };
  const memory = setInterval(() => {
    const pids = processTree([child.pid!]);
    const bytes = pids.map(proportionalBytes).reduce((sum, each) => sum + each, 0);
    peak.bytes = Math.max(peak.bytes, bytes);
    peak.processes = Math.max(peak.processes, pids.length);
  }, MEMORY_INTERVAL_MS);
  try {
    const code = await ended;
    if (interruption !== null) throw new TrainerError('INTERRUPTED', `${interruption}: ended`);
    if (code !== 0)
      throw new TrainerError('BAD_INPUT', said.trim().replace(/^locmoe: /, '') || `ended with ${code}`);
  } finally {
    clearInterval(memory);
    for (const signal of signals) process.off(signal, interrupted);
  }
  const run = path.join(runsDir, readdirSync(runsDir)[0]);
  return {
    steps: readRecords(path.join(run, 'metrics.ndjson')).filter((record) => record.type === 'step'),
    gradients: gradientsOf(path.join(run, 'checkpoints')),
    peakBytes: peak.bytes,
    mostProcesses: peak.processes,
  };
}

/** From Adam's first moment after the first step. */
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
      difference += (value - found[i]) ** 2;
    });
    squares += square;
    differences += difference;
    const gradient = Math.sqrt(difference / Math.max(square, Number.MIN_VALUE));
    if (gradient > worst.gradient) worst = { parameter, gradient };
  }
  const [a, b] = [alone.steps[0], spread.steps[0]];
  const gradient = Math.sqrt(differences / squares);
  const loss = Math.abs(b.loss - a.loss) / a.loss;
  const gradientNorm = Math.abs(b.gradientNorm - a.gradientNorm) / a.gradientNorm;
  const isWithinTolerance = [gradient, loss, gradientNorm].every((each) => each <= TOLERANCE);
  return { loss, gradientNorm, gradient, worst, isWithinTolerance };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return (sorted[Math.floor(middle)] + sorted[Math.ceil(middle) - 1]) / 2;
}
