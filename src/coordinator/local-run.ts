import { availableParallelism } from 'node:os';
import path from 'node:path';
import { assertFits, type Checkpoint, committedFolders, resolveCheckpoint } from '../checkpoint/index.js';
import { loadConfig, recipeNames, resolveConfig } from '../config/resolve.js';
import type { RunConfig } from '../config/schema.js';
import { CORPUS_DIR, type Dataset, prepareDataset } from '../data/index.js';
import { EXIT, exitCodeOf, TrainerError } from '../errors.js';
import { LogStore, parseLogLine } from '../observability/log-store.js';
import { createLogger } from '../observability/logger.js';
import { assertRouterKnown } from '../routing/index.js';
import { createRpcServer, listen } from '../rpc/server.js';
import { Coordinator, type RunIdentity } from './coordinator.js';
import { LocalCluster } from './local-cluster.js';
import { ProgressView } from './progress-view.js';
import { findRun, isLive, RunFolder } from './run-folder.js';
import { RunRecorder } from './run-recorder.js';
import type { RunState } from './run-state.js';
import { addCoordinatorService } from './service.js';
import { summarize } from './summary.js';

/** What `locmoe train` was asked to do. */
export interface TrainOptions {
  readonly config?: string;
  readonly set: readonly string[];
  readonly nodes?: number;
  readonly workersPerNode?: number;
  /** A run or step folder; true for the newest run. */
  readonly resume?: string | true;
  readonly port: number;
  readonly runsDir: string;
  readonly dataDir: string;
  readonly samples: boolean;
}

/** Time for agents to leave once the run has settled. */
const LEAVE_GRACE_MS = 8_000;

/** What a run starts from. */
interface Plan {
  readonly config: RunConfig;
  readonly folder: RunFolder;
  readonly generation: number;
  readonly checkpoint: Checkpoint | null;
}

/**
 * Trains on this machine: a coordinator in this process, node agents and workers as its children.
 *
 * @returns the exit code of the command
 * @throws TrainerError for what is wrong before a run exists: configuration, data, checkpoint, port
 */
export async function train(options: TrainOptions): Promise<number> {
  const checkpoint = options.resume === undefined ? null : findCheckpoint(options.resume, options.runsDir);
  const config = startingConfig(options, checkpoint);
  assertRouterKnown(config.moe.router);
  assertMachineCanHold(config);
  const dataset = prepareDataset({
    dataDir: path.resolve(options.dataDir),
    corpusDir: CORPUS_DIR,
    domains: config.data.domains,
    maxBytesPerDomain: config.data.maxBytesPerDomain,
    validationShare: config.data.validationShare,
    vocabSize: config.model.vocabSize,
    log: (line) => console.log(line),
  });
  if (checkpoint !== null) assertFits(checkpoint, config, dataset.tokenizerSha256);
  if (checkpoint !== null && checkpoint.manifest.step >= config.train.steps)
    throw new TrainerError(
      'BAD_CONFIG',
      `${checkpoint.folder} has done all ${config.train.steps} steps; go further with --set train.steps=${config.train.steps * 2}`,
    );
  return run(planRun(options, config, checkpoint), dataset, options);
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

function findCheckpoint(resume: string | true, runsDir: string): Checkpoint {
  const place = resume === true ? findRun(runsDir).folder.directory : resume;
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

/** A resumed run goes on in its own folder as the next generation; every other one gets a new folder. */
function planRun(options: TrainOptions, config: RunConfig, checkpoint: Checkpoint | null): Plan {
  const parent = checkpoint && new RunFolder(path.dirname(path.dirname(path.resolve(checkpoint.folder))));
  const record = parent?.readRecord() ?? null;
  if (checkpoint === null || parent === null || record === null)
    return { config, folder: RunFolder.create(options.runsDir, config.name), generation: 1, checkpoint };
  if (isLive(record))
    throw new TrainerError(
      'BAD_INPUT',
      `run ${record.runId} is still going (pid ${record.pid}); stop it before you resume it`,
    );
  parent.dropMetricsAfter(checkpoint.manifest.step);
  return { config, folder: parent, generation: record.generation + 1, checkpoint };
}

async function run(plan: Plan, dataset: Dataset, options: TrainOptions): Promise<number> {
  const { config, folder, generation } = plan;
  const logs = new LogStore(folder.logs);
  const view = new ProgressView({
    isTTY: process.stdout.isTTY === true,
    columns: process.stdout.columns ?? 80,
    write: (text) => process.stdout.write(text),
  });
  const recorder = new RunRecorder(folder, view, dataset);
  const identity: RunIdentity = {
    runId: folder.runId,
    generation,
    config,
    runDir: folder.directory,
    datasetDir: dataset.dir,
    resumeFrom: plan.checkpoint?.folder ?? null,
  };
  const logger = createLogger({
    level: config.logLevel,
    origin: { run: folder.runId, generation },
    destination: { write: (line) => logs.append('coordinator', line.trimEnd()) },
  });
  const coordinator = new Coordinator({ identity, logs, logger, listener: recorder });
  const rpc = createRpcServer();
  addCoordinatorService(rpc.server, coordinator);
  const cluster = new LocalCluster();
  const forgetSignals = stopOnSignals(coordinator, view);
  const unfollow = logs.follow((line) => showTrouble(line, view));
  try {
    const address = await listen(rpc, '127.0.0.1', options.port);
    folder.writeConfig(config);
    recorder.begin(coordinator, address);
    view.print(
      `run ${folder.runId}: ${config.cluster.nodes} nodes x ${config.cluster.workersPerNode} workers, router ${config.moe.router}, coordinator ${address}`,
    );
    cluster.start(config.cluster.nodes, address, folder.logs, (code, signal, lastWords) => {
      if (code !== 0 && coordinator.state.kind === 'waiting')
        coordinator.abort(
          new TrainerError('NODE_LOST', `a node agent ended (${signal ?? `code ${code}`}): ${lastWords}`),
        );
    });
    const state = await coordinator.settled;
    await cluster.end(LEAVE_GRACE_MS);
    view.close();
    return conclude(state, recorder, dataset, options);
  } finally {
    await cluster.end(0);
    view.close();
    unfollow();
    forgetSignals();
    coordinator.close();
    rpc.server.forceShutdown();
    logs.close();
  }
}

/** First signal: a final checkpoint, then the end. Second: the end at once. */
function stopOnSignals(coordinator: Coordinator, view: ProgressView): () => void {
  let signals = 0;
  const onSignal = (signal: NodeJS.Signals) => {
    signals++;
    if (signals > 1) {
      coordinator.abort(new TrainerError('ABORTED', `${signal} twice: ended without a final checkpoint`));
      return;
    }
    view.print(`${signal}: finishing this step and saving a checkpoint (once more to end at once)`);
    coordinator.requestStop(signal);
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  return () => process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
}

/** Warnings and worse appear above the progress line; the error that ends a run is told at its end instead. */
function showTrouble(line: string, view: ProgressView): void {
  const record = parseLogLine(line);
  if (record.level === 'warn') view.print(`warning: ${record.msg}`);
}

async function conclude(
  state: RunState,
  recorder: RunRecorder,
  dataset: Dataset,
  options: TrainOptions,
): Promise<number> {
  if (state.kind === 'failed') {
    const { folder } = recorder;
    console.error(`locmoe: run failed: ${state.error.line}`);
    console.error(`  logs: locmoe logs --run ${path.relative('.', folder.directory)} --level warn`);
    const resumable = committedFolders(folder.checkpoints)[0];
    if (resumable !== undefined)
      console.error(
        `  resume: locmoe train --resume ${path.relative('.', folder.directory)}  (from ${path.basename(resumable)})`,
      );
    return exitCodeOf(state.error);
  }
  const stoppedEarly = state.kind === 'finished' && state.stoppedEarly;
  await summarize(recorder, dataset, { samples: options.samples && !stoppedEarly });
  return stoppedEarly ? EXIT.interrupted : EXIT.done;
}
