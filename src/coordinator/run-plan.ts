import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { assertFits, type Checkpoint, resolveCheckpoint } from '../checkpoint/index.js';
import { loadConfig, recipeNames, resolveConfig } from '../config/resolve.js';
import type { RunConfig } from '../config/schema.js';
import { CORPUS_DIR, createLoader, type Dataset, prepareDataset } from '../data/index.js';
import { TrainerError } from '../errors.js';
import { assertRouterKnown } from '../routing/index.js';
import { findRun, isLive, RunFolder } from './run-folder.js';

/** What `locmoe train` was asked to do. */
export interface TrainOptions {
  readonly config?: string;
  readonly set: readonly string[];
  readonly nodes?: number;
  readonly workersPerNode?: number;
  /** A run or step folder, or a run id; true for the newest run. */
  readonly resume?: string | true;
  readonly port: number;
  readonly runsDir: string;
  readonly dataDir: string;
  readonly samples: boolean;
}

/** What a run starts from; everything that can be wrong before there is a run has been checked. */
export interface RunPlan {
  readonly config: RunConfig;
  readonly dataset: Dataset;
  readonly checkpoint: Checkpoint | null;
  /** The run that goes on, or null for a new one. */
  readonly resumed: { readonly folder: RunFolder; readonly generation: number } | null;
}

/**
 * Resolves configuration, checkpoint and data; prepares the data if that was not done before.
 *
 * @throws TrainerError for what is wrong with any of them
 */
export function planRun(options: TrainOptions): RunPlan {
  const checkpoint = options.resume === undefined ? null : findCheckpoint(options.resume, options.runsDir);
  const config = startingConfig(options, checkpoint);
  assertRouterKnown(config.moe.router);
  assertMachineCanHold(config);
  const resumed = checkpoint && resumedRun(checkpoint);
  const dataset = prepareDataset({
    ...config.data,
    dataDir: path.resolve(options.dataDir),
    corpusDir: CORPUS_DIR,
    vocabSize: config.model.vocabSize,
    log: (line) => console.log(line),
  });
  assertDataSuffices(config, dataset);
  if (checkpoint !== null) assertCanGoOn(checkpoint, config, dataset);
  return { config, dataset, checkpoint, resumed };
}

function findCheckpoint(resume: string | true, runsDir: string): Checkpoint {
  const place =
    resume !== true && existsSync(resume)
      ? resume
      : findRun(runsDir, resume === true ? undefined : resume).folder.directory;
  return resolveCheckpoint(place, (warning) => console.error(`locmoe: ${warning}`));
}

/** The configuration asked for; a resumed run keeps that of its checkpoint unless another is given. */
function startingConfig(options: TrainOptions, checkpoint: Checkpoint | null): RunConfig {
  const overrides = { sets: options.set, nodes: options.nodes, workersPerNode: options.workersPerNode };
  if (options.config !== undefined) return loadConfig(options.config, overrides);
  if (checkpoint === null)
    throw new TrainerError(
      'BAD_CONFIG',
      `say what to train: --config FILE or --config RECIPE (recipes: ${recipeNames().join(', ')}), or --resume`,
    );
  return resolveConfig(JSON.stringify(checkpoint.manifest.config), checkpoint.folder, overrides);
}

/** Hundreds of processes a core would bring the machine to a halt before anyone could stop them. */
const MAX_PROCESSES_PER_CORE = 32;

function assertMachineCanHold({ cluster: { nodes, workersPerNode } }: RunConfig): void {
  const processes = nodes * (1 + workersPerNode);
  const cores = availableParallelism();
  if (processes > MAX_PROCESSES_PER_CORE * cores)
    throw new TrainerError(
      'BAD_CONFIG',
      `cluster.nodes, cluster.workersPerNode: ${nodes} nodes x ${workersPerNode} workers are ${processes} processes; on one machine with ${cores} cores at most ${MAX_PROCESSES_PER_CORE * cores} are started`,
    );
}

/** Lets the loader check what each worker's own would refuse later. */
function assertDataSuffices({ data, model, train, seed }: RunConfig, dataset: Dataset): void {
  createLoader({
    dataset,
    weights: data.weights,
    seed,
    globalBatch: train.globalBatch,
    seqLen: model.seqLen,
    rank: 0,
    worldSize: 1,
  });
}

function assertCanGoOn(checkpoint: Checkpoint, config: RunConfig, dataset: Dataset): void {
  assertFits(checkpoint, config, dataset.tokenizerSha256);
  const { step } = checkpoint.manifest;
  if (step >= config.train.steps)
    throw new TrainerError(
      'BAD_CONFIG',
      `${checkpoint.folder} has done ${step} steps, and train.steps is ${config.train.steps}; go further with --set train.steps=${step * 2}`,
    );
}

/** A checkpoint inside a run's folder goes on there as the next generation; any other starts a new run. */
function resumedRun(checkpoint: Checkpoint): RunPlan['resumed'] {
  const folder = new RunFolder(path.dirname(path.dirname(path.resolve(checkpoint.folder))));
  const record = folder.readRecord();
  if (record === null) return null;
  if (isLive(record))
    throw new TrainerError(
      'BAD_INPUT',
      `run ${record.runId} is still going (pid ${record.pid}); stop it before you resume it`,
    );
  return { folder, generation: record.generation + 1 };
}
