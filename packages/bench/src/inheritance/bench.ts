import path from 'node:path';
import { stepFolder } from 'locmoe/internal/checkpoint/folders';
import { loadConfig } from 'locmoe/internal/config/resolve';
import { tokensPerStep } from 'locmoe/internal/config/run-length';
import { EXIT, TrainerError } from 'locmoe/internal/errors';
import { ROUTER_NAMES } from 'locmoe/internal/routing/index';
import { readRecords } from 'locmoe/internal/run/metrics-record';
import type { RunFolder } from 'locmoe/internal/run/run-folder';
import { meanLoss } from 'locmoe/internal/run/validation-loss';
import { makeBenchFolders } from '../folders.js';
import { machine } from '../machine.js';
import { runTraining } from '../training.js';
import { writeReport } from './report.js';
import type { Curve, SeedResult, StartResult } from './results.js';

export interface BenchInheritanceOptions {
  /** Recipe or config file of the sparse model. */
  readonly config: string;
  readonly set: readonly string[];
  readonly seeds: number;
  /** Steps of the dense model before it is inherited from. */
  readonly denseSteps: number;
  /** Steps of the sparse model after that. */
  readonly steps: number;
  /** Router of the curves alone, without those of the loss at step 0. */
  readonly quick: boolean;
  readonly workDir: string;
  /** Output folder of the report. */
  readonly out: string;
  readonly dataDir: string;
  /** The command line, quoted in the report. */
  readonly command: string;
}

/**
 * The router of PanGu-Sigma; a rate at which a model can be looked at after any number of steps; text enough for few
 * repetitions; two ranks, for two cores.
 */
const SETTINGS = [
  ...['moe.router=hash', 'train.schedule=constant', 'data.maxBytesPerDomain=2000000'],
  // Room for all, and weights as published.
  ...['moe.capacityFactor=1.25', 'moe.choiceWeights=softmax', 'moe.tokenPreference=0'],
  ...['cluster.nodes=1', 'cluster.workersPerNode=2'],
];
/** Points of a curve in the steps of the sparse model. */
const POINTS = 12;
/** A seed of its own for what follows on the dense model: another order of the text. */
const SECOND_SEED = 1000;

/**
 * `locmoe bench inheritance`: a sparse model that inherits from a dense one, against the same model from random weights
 * and the dense one that trains on.
 *
 * @returns the exit code
 * @throws TrainerError `BAD_CONFIG` if steps do not suit or the recipe has no sparse layers; as `runTraining`
 */
export async function benchInheritance(options: BenchInheritanceOptions): Promise<number> {
  const { denseSteps, steps, seeds, command } = options;
  const config = loadConfig(options.config, { sets: [...SETTINGS, ...options.set] });
  const every = Math.max(1, Math.floor(steps / POINTS));
  if (denseSteps % every !== 0 || steps % every !== 0)
    throw new TrainerError(
      'BAD_CONFIG',
      `--dense-steps ${denseSteps} and --steps ${steps}: give multiples of ${every}, the steps between two validations`,
    );
  const { numDenseLayers, numSparseLayers } = config.model;
  if (numSparseLayers === 0)
    throw new TrainerError('BAD_CONFIG', `--config ${options.config}: the model has no sparse layers`);
  const dense = [`model.numDenseLayers=${numDenseLayers + numSparseLayers}`, 'model.numSparseLayers=0'];
  makeBenchFolders(options);
  const results: SeedResult[] = [];
  const starts: StartResult[] = [];
  for (let seed = 1; seed <= seeds; seed++) {
    const train = (name: string, sets: readonly string[], inherit?: string) =>
      trained(options, `${name}-${seed}`, [`train.validateEvery=${every}`, ...sets], inherit);
    const all = [`seed=${seed}`, `train.steps=${denseSteps + steps}`];
    const denseRun = await train('dense', [...dense, ...all, `train.checkpointEvery=${denseSteps}`]);
    const origin = stepFolder(denseRun.checkpoints, denseSteps);
    const later = [`seed=${SECOND_SEED + seed}`, `train.steps=${steps}`];
    const inherited = curveOf(await train('inherited', later, origin));
    const scratch = curveOf(await train('scratch', all));
    results.push({ seed, dense: curveOf(denseRun), inherited, scratch });
    if (seed === 1 && !options.quick)
      for (const router of ROUTER_NAMES) {
        const sets = [`moe.router=${router}`, `seed=${SECOND_SEED + seed}`, 'train.steps=1'];
        const [{ loss }] = curveOf(await train(`start-${router}`, sets, origin));
        starts.push({ router, loss });
      }
  }
  const report = await writeReport(
    {
      config,
      results,
      starts,
      denseSteps,
      steps,
      every,
      tokensPerStep: tokensPerStep(config),
      machine: machine(),
      command,
    },
    options.out,
  );
  console.log(`report: ${report}`);
  return EXIT.done;
}

/** @throws TrainerError as `runTraining` */
async function trained(
  { config, set, workDir, dataDir }: BenchInheritanceOptions,
  name: string,
  sets: readonly string[],
  inherit?: string,
): Promise<RunFolder> {
  const started = performance.now();
  const run = await runTraining({
    config,
    dataDir,
    folder: path.resolve(workDir, name),
    sets: [...SETTINGS, ...set, 'train.validationSequences=64', 'train.keepCheckpoints=9', ...sets],
    ...(inherit !== undefined && { more: ['--inherit', inherit] }),
  });
  const { step, loss } = curveOf(run).at(-1)!;
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  console.log(`${name}: validation loss ${loss.toFixed(4)} after ${step} steps (${seconds} s)`);
  return run;
}

function curveOf(run: RunFolder): Curve {
  return readRecords(run.metrics).flatMap((record) =>
    record.type === 'validation' ? [{ step: record.step, loss: meanLoss(record) }] : [],
  );
}
