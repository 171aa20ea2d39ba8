import path from 'node:path';
import { committedFolders } from '../checkpoint/index.js';
import type { RunConfig } from '../config/schema.js';
import type { Dataset } from '../data/index.js';
import { asTrainerError, EXIT, exitCodeOf, TrainerError } from '../errors.js';
import { LogStore, parseLogLine } from '../observability/log-store.js';
import { createLogger, type Logger } from '../observability/logger.js';
import { createRpcServer, listen, type RpcServer } from '../rpc/server.js';
import { Coordinator } from './coordinator.js';
import { formatNumberOf } from './format.js';
import { LocalCluster } from './local-cluster.js';
import { ProgressView } from './progress-view.js';
import { RunFolder } from './run-folder.js';
import { planRun, type RunPlan, type TrainOptions } from './run-plan.js';
import { RunRecorder } from './run-recorder.js';
import type { RunState } from './run-state.js';
import { addCoordinatorService } from './service.js';
import { summarize } from './summary.js';

/** Time for agents to leave once the run has settled. */
const LEAVE_GRACE_MS = 8_000;

/**
 * Trains on this machine: a coordinator in this process, node agents and workers as its children.
 *
 * @returns the exit code of the command
 * @throws TrainerError for what is wrong before a run exists: configuration, data, checkpoint, port, folder
 */
export async function train(options: TrainOptions): Promise<number> {
  const plan = planRun(options);
  const rpc = createRpcServer();
  // The port first: a run that cannot have it leaves no folder.
  const address = await listen(rpc, '127.0.0.1', options.port);
  try {
    const folder = plan.resumed?.folder ?? RunFolder.create(options.runsDir, plan.config.name);
    if (plan.checkpoint !== null && plan.resumed !== null)
      folder.dropMetricsAfter(plan.checkpoint.manifest.step);
    const recorder = new RunRecorder(folder, terminalView(), plan.dataset);
    const state = await run(plan, folder, recorder, rpc, address);
    return await conclude(state, recorder, plan.dataset, options);
  } finally {
    rpc.server.forceShutdown();
  }
}

function terminalView(): ProgressView {
  const { stdout } = process;
  return new ProgressView({
    isTTY: stdout.isTTY === true,
    columns: () => stdout.columns ?? 80,
    write: (text) => stdout.write(text),
  });
}

/** Carries the run out; nothing of it is left running when it returns. */
async function run(
  plan: RunPlan,
  folder: RunFolder,
  recorder: RunRecorder,
  rpc: RpcServer,
  address: string,
): Promise<RunState> {
  const { config, dataset } = plan;
  const { view } = recorder;
  const identity = {
    runId: folder.runId,
    generation: plan.resumed?.generation ?? 1,
    config,
    runDir: folder.directory,
    datasetDir: dataset.dir,
    resumeFrom: plan.checkpoint?.folder ?? null,
  };
  const logs = new LogStore(folder.logs, (error) => coordinator.abort(asTrainerError(error)));
  const logger = createLogger({
    level: config.logLevel,
    origin: { run: folder.runId, generation: identity.generation },
    destination: { write: (line) => logs.append('coordinator', line.trimEnd()) },
  });
  const coordinator = new Coordinator({ identity, logs, logger, listener: recorder });
  addCoordinatorService(rpc.server, coordinator);
  const cluster = new LocalCluster();
  const forgetSignals = stopOnSignals(coordinator, view);
  const unfollow = logs.follow(troubleShower(view));
  try {
    folder.writeConfig(config);
    recorder.begin(coordinator, address);
    const { nodes, workersPerNode } = config.cluster;
    view.print(
      `run ${folder.runId}: ${formatNumberOf(nodes, 'node')} x ${formatNumberOf(workersPerNode, 'worker')}, router ${config.moe.router}, coordinator ${address}; starting the workers`,
    );
    warnOfFewExperts(config, logger);
    cluster.start(nodes, address, folder.logs, (pid, how) => coordinator.agentEnded(pid, how));
    const state = await coordinator.settled;
    await cluster.end(LEAVE_GRACE_MS);
    return state;
  } finally {
    await cluster.end(0);
    view.close();
    unfollow();
    forgetSignals();
    coordinator.close();
    logs.close();
  }
}

/** LocMoE section 4.2: with fewer experts than nodes its local routing loses to hash routing. */
function warnOfFewExperts({ moe, cluster }: RunConfig, logger: Logger): void {
  if (moe.numExperts >= cluster.nodes) return;
  logger.warn(
    { numExperts: moe.numExperts, nodes: cluster.nodes },
    `fewer experts (${moe.numExperts}) than nodes (${cluster.nodes}): every node holds copies of some, and locality has little to win (moe.numExperts)`,
  );
}

const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

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
  for (const signal of STOP_SIGNALS) process.on(signal, onSignal);
  return () => {
    for (const signal of STOP_SIGNALS) process.off(signal, onSignal);
  };
}

/** Warnings appear above the progress line, each once; the error that ends a run is told at its end instead. */
function troubleShower(view: ProgressView): (line: string) => void {
  const shown = new Set<string>();
  return (line) => {
    const { level, msg } = parseLogLine(line);
    if (level !== 'warn' || shown.has(msg)) return;
    shown.add(msg);
    view.print(`warning: ${msg}`);
  };
}

async function conclude(
  state: RunState,
  recorder: RunRecorder,
  dataset: Dataset,
  options: TrainOptions,
): Promise<number> {
  if (state.kind === 'failed') {
    const { folder } = recorder;
    const run = path.relative('.', folder.directory);
    const resumable = committedFolders(folder.checkpoints)[0];
    console.error(`locmoe: run failed: ${state.error.line}`);
    console.error(`  logs: locmoe logs --run ${run} --level warn`);
    if (resumable !== undefined)
      console.error(`  resume: locmoe train --resume ${run}  (from ${path.basename(resumable)})`);
    // Once it trained, a run has failed, whatever it lacked; before, something it was given was wrong.
    return recorder.lastStep > 0 ? EXIT.failedRun : exitCodeOf(state.error);
  }
  const stoppedEarly = state.kind === 'finished' && state.stoppedEarly;
  await summarize(recorder, dataset, { samples: options.samples && !stoppedEarly });
  return stoppedEarly ? EXIT.interrupted : EXIT.done;
}
