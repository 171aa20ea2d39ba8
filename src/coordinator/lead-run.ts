import { existsSync } from 'node:fs';
import path from 'node:path';
import { committedFolders } from '../checkpoint/index.js';
import type { RunConfig } from '../config/schema.js';
import { asTrainerError, EXIT, exitCodeOf, TrainerError } from '../errors.js';
import { LogStore, parseLogLine } from '../observability/log-store.js';
import { createLogger, type Logger } from '../observability/logger.js';
import type { RpcServer } from '../rpc/server.js';
import { Coordinator } from './coordinator.js';
import { formatNumberOf } from './format.js';
import { LogView } from './log-view.js';
import { ProgressView } from './progress-view.js';
import { RunFolder, type RunRecord } from './run-folder.js';
import type { RunOptions, RunPlan } from './run-plan.js';
import { RunRecorder } from './run-recorder.js';
import type { RunState } from './run-state.js';
import type { RunView } from './run-view.js';
import { addCoordinatorService } from './service.js';
import { summarize } from './summary.js';

/** Time for agents to leave once the run has settled. */
const LEAVE_GRACE_MS = 8_000;

/** The node agents of a run, wherever they come from. */
export interface Nodes {
  /** Said when the run waits for them. */
  readonly announcement: string;
  /** One that dies before the start can be replaced by another. */
  readonly areReplaceable: boolean;
  readonly joinTimeoutMs: number;
  start(coordinator: Coordinator, folder: RunFolder): void;
  /** Waits up to `graceMs` for all to leave, and ends what then remains and can be ended. */
  end(coordinator: Coordinator, graceMs: number): Promise<void>;
}

export interface Lead {
  /** Named in the advice of how to go on after a failure. */
  readonly command: 'train' | 'serve';
  readonly options: RunOptions;
  readonly plan: RunPlan;
  /** Listens already. */
  readonly rpc: RpcServer;
  readonly place: Pick<RunRecord, 'address' | 'localAddress' | 'http' | 'isSecured'>;
  readonly nodes: Nodes;
  /** Show the run as log records on standard output instead of to a person. */
  readonly jsonLogs: boolean;
}

/**
 * Carries a planned run out, from its folder to its summary; nothing of it is left running when it returns.
 *
 * @returns the exit code of the command
 */
export async function leadRun(lead: Lead): Promise<number> {
  const { options, plan, rpc, place, nodes, jsonLogs } = lead;
  const { config, dataset, checkpoint, resumed } = plan;
  const folder = resumed?.folder ?? RunFolder.create(options.runsDir, config.name);
  if (checkpoint !== null && resumed !== null) folder.dropMetricsAfter(checkpoint.manifest.step);
  const generation = resumed?.generation ?? 1;
  const identity = {
    runId: folder.runId,
    generation,
    config,
    runDir: folder.directory,
    datasetDir: dataset.dir,
    resumeFrom: checkpoint?.folder ?? null,
  };
  const logs = new LogStore(folder.logs, (error) => coordinator.abort(asTrainerError(error)));
  const logger = createLogger({
    level: config.logLevel,
    origin: { run: folder.runId, generation },
    destination: {
      write(line) {
        logs.append('coordinator', line.trimEnd());
        if (jsonLogs) process.stdout.write(line);
      },
    },
  });
  const view = jsonLogs ? new LogView(logger) : terminalView();
  const recorder = new RunRecorder(folder, view, dataset);
  const coordinator = new Coordinator({
    identity,
    logs,
    logger,
    listener: recorder,
    joinTimeoutMs: nodes.joinTimeoutMs,
    nodesAreReplaceable: nodes.areReplaceable,
  });
  addCoordinatorService(rpc.server, coordinator);
  rpc.onRefused = (line) => logger.warn(line);
  const forgetSignals = stopOnSignals(coordinator, view);
  const unfollow = jsonLogs ? () => undefined : logs.follow(troubleShower(view));
  try {
    folder.writeConfig(config);
    recorder.begin(coordinator, place);
    // Said only after: until a child has its own process group, Ctrl-C would end it too.
    nodes.start(coordinator, folder);
    const { nodes: numNodes, workersPerNode } = config.cluster;
    view.print(
      `run ${folder.runId}: ${formatNumberOf(numNodes, 'node')} x ${formatNumberOf(workersPerNode, 'worker')}, router ${config.moe.router}, coordinator ${place.address}; ${nodes.announcement}`,
    );
    if (place.http !== undefined) view.print(`over HTTP: http://${place.http}`);
    warnOfFewExperts(config, logger);
    const state = await coordinator.settled;
    await nodes.end(coordinator, LEAVE_GRACE_MS);
    view.close();
    if (state.kind === 'failed') return reportFailure(state.error, lead, recorder, logger);
    return await conclude(state, lead, recorder, logger);
  } finally {
    await nodes.end(coordinator, 0);
    view.close();
    unfollow();
    forgetSignals();
    coordinator.close();
    logs.close();
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
function stopOnSignals(coordinator: Coordinator, view: RunView): () => void {
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
function troubleShower(view: RunView): (line: string) => void {
  const shown = new Set<string>();
  return (line) => {
    const { level, msg } = parseLogLine(line);
    if (level !== 'warn' || shown.has(msg)) return;
    shown.add(msg);
    view.print(`warning: ${msg}`);
  };
}

/** Says why the run failed and how to go on, to a person or as one log record; returns the exit code. */
function reportFailure(
  error: TrainerError,
  { command, jsonLogs }: Lead,
  { folder, lastStep }: RunRecorder,
  logger: Logger,
): number {
  const run = path.relative('.', folder.directory);
  const resumable = committedFolders(folder.checkpoints)[0];
  // Once it trained, a run has failed, whatever it lacked; before, something it was given was wrong.
  const code = lastStep > 0 ? EXIT.failedRun : exitCodeOf(error);
  if (jsonLogs) {
    logger.fatal({ exitCode: code, checkpoint: resumable ?? null }, `run failed: ${error.line}`);
    return code;
  }
  console.error(`locmoe: run failed: ${error.line}`);
  console.error(`  logs: locmoe logs --run ${run} --level warn`);
  if (existsSync(folder.flight)) console.error(`  who lagged: locmoe flight ${run}`);
  if (resumable !== undefined)
    console.error(`  resume: locmoe ${command} --resume ${run}  (from ${path.basename(resumable)})`);
  return code;
}

async function conclude(
  state: RunState,
  { options, plan, jsonLogs }: Lead,
  recorder: RunRecorder,
  logger: Logger,
): Promise<number> {
  const stoppedEarly = state.kind === 'finished' && state.stoppedEarly;
  const code = stoppedEarly ? EXIT.interrupted : EXIT.done;
  const show = (text: string) => process.stdout.write(`${text}\n`);
  await summarize(recorder, plan.dataset, {
    samples: options.samples && !stoppedEarly,
    show: jsonLogs ? () => undefined : show,
  });
  if (jsonLogs) {
    const { lastStep, lastValidation, lastCheckpoint, seconds } = recorder;
    logger.info(
      { exitCode: code, lastStep, validation: lastValidation, checkpoint: lastCheckpoint, seconds },
      stoppedEarly ? 'run stopped after a final checkpoint' : 'run done',
    );
  }
  return code;
}
