import { LogStore } from '@locmoe/logs';
import type { RunConfig } from '../config/schema.js';
import { asTrainerError, EXIT, exitCodeOf, type TrainerError } from '../errors.js';
import { createLogger, type Logger } from '../logger.js';
import type { RpcServer } from '../rpc/server.js';
import { DiskTolerance } from '../run/disk-tolerance.js';
import { RunFolder, type RunRecord } from '../run/run-folder.js';
import type { RunListener } from '../run/run-listener.js';
import { claimRun } from '../run/run-lock.js';
import { progressOfMetrics } from '../run/run-progress.js';
import { RunRecorder } from '../run/run-recorder.js';
import type { RunState } from '../run/run-state.js';
import { RunTotals } from '../run/run-totals.js';
import { Coordinator, type RunFailure } from './coordinator.js';
import { explainFailure } from './failure-report.js';
import { truncateHistory } from './run-history.js';
import type { RunOptions, RunPlan } from './run-options.js';
import type { FailedRun, FinishedRun, OpenRun, RunOutcome, RunView } from './run-view.js';
import { addCoordinatorService } from './service.js';
import { stopOnSignals } from './stop-signals.js';
import { catchUncaught } from './uncaught.js';

/** Time for agents to leave once the run has settled. */
const LEAVE_GRACE_MS = 4_000;
/** For followers to read the rest of the log once it is complete. */
const LAST_LINES_MS = 2_000;
/** From a failure to the end of this process, whatever agents and followers do; more than agents get. */
const END_MS = 4_800;

/** The node agents of a run, wherever they come from. */
export interface Nodes {
  /** One that dies before the start may be replaced. */
  readonly areReplaceable: boolean;
  readonly joinTimeoutMs: number;
  start(coordinator: Coordinator, folder: RunFolder): void;
  /** Waits up to `graceMs` for all to leave, then ends those that it can. */
  end(coordinator: Coordinator, graceMs: number): Promise<void>;
}

export interface Lead {
  /** For the advice on how to resume after a failure. */
  readonly command: 'train' | 'serve';
  readonly options: RunOptions;
  /** What that command needs beside `--resume RUN`. */
  readonly resumeOptions: readonly string[];
  readonly plan: RunPlan;
  /** Listens already. */
  readonly rpc: RpcServer;
  readonly place: Pick<RunRecord, 'address' | 'localAddress' | 'http' | 'isSecured'>;
  readonly nodes: Nodes;
  readonly view: (run: OpenRun) => RunView;
  /** Who is notified beside the run's folder and its view. */
  readonly listeners: (run: OpenRun) => readonly RunListener[];
}

/** Leads a planned run, from its folder to its end; nothing of it is left running when it returns. */
export async function leadRun(lead: Lead): Promise<RunOutcome> {
  const { plan } = lead;
  let abort = (error: TrainerError): void => {
    throw error;
  };
  const run = openRun(lead, (error) => abort(error));
  const { folder, logs, logger, disk, identity } = run;
  const listeners: RunListener[] = [];
  try {
    // First: it shows what the log warns of from here on.
    const view = lead.view(run);
    listeners.push(view);
    if (plan.resumed === null) {
      await claimRun(folder, (line) => logger.warn(line));
      folder.writeConfig(plan.config);
    }
    // Before the record: where one of them cannot begin, there is no run to find.
    listeners.push(...lead.listeners(run));
    const totals = new RunTotals();
    const { runId, generation, datasetDir } = identity;
    const { forkedFrom, initFrom } = plan;
    const origin = { runId, generation, datasetDir, forkedFrom, initFrom, ...lead.place };
    const recorder = new RunRecorder(folder, disk, origin, run.resumedFrom);
    const coordinator = new Coordinator({
      ...{ identity, logs, logger },
      // The totals before what writes and may throw: the exit code depends on whether a step was done.
      listeners: [truncateHistory(folder, plan), totals, recorder, ...listeners],
      joinTimeoutMs: lead.nodes.joinTimeoutMs,
      nodesAreReplaceable: lead.nodes.areReplaceable,
      allowsFaults: lead.options.allowFaults,
      trainedSeconds: progressOfMetrics(plan.checkpoint?.manifest.metrics ?? {}).trainingSeconds,
    });
    abort = (error) => coordinator.abort(error);
    return await carryOut(lead, run, { coordinator, view, totals });
  } finally {
    for (const listener of listeners) listener.close?.();
    logs.close();
  }
}

interface Led {
  readonly coordinator: Coordinator;
  readonly view: RunView;
  readonly totals: RunTotals;
}

/** Starts the nodes, waits until the run has settled, and ends the nodes. */
async function carryOut(lead: Lead, run: OpenRun, { coordinator, view, totals }: Led): Promise<RunOutcome> {
  const { plan, rpc, nodes } = lead;
  const { folder, logger } = run;
  const service = addCoordinatorService(rpc.server, coordinator);
  rpc.onRefused = (line) => logger.warn(line);
  const forgetSignals = stopOnSignals(coordinator, (line) => view.print(line));
  const explain = (failure: RunFailure) => failedRun(failure, lead, coordinator, run, totals);
  const leaveUncaught = catchUncaught({
    ...{ coordinator, logger, view },
    lastWords(error) {
      const failed = explain(coordinator.failure ?? { timeMs: Date.now(), error, culprit: null, ranks: [] });
      view.failed(failed);
      process.exit(failed.exitCode);
    },
  });
  let endsByMs = Number.POSITIVE_INFINITY;
  try {
    // Nodes first: until a child has its own process group, Ctrl-C would end it too.
    nodes.start(coordinator, folder);
    view.begun();
    warnOfFewExperts(plan.config, logger);
    const state = await coordinator.settled;
    if (state.kind === 'failed') endsByMs = performance.now() + END_MS;
    const failed = coordinator.failure && explain(coordinator.failure);
    await nodes.end(coordinator, LEAVE_GRACE_MS);
    if (failed !== null) {
      view.failed(failed);
      return failed;
    }
    const finished = finishedRun(state, totals);
    await view.finished(finished);
    return finished;
  } finally {
    await nodes.end(coordinator, 0);
    forgetSignals();
    await service.endLogs(Math.min(LAST_LINES_MS, endsByMs - performance.now()));
    leaveUncaught();
    coordinator.close();
  }
}

/** Creates the run's folder, or opens that of the run that is resumed, and opens its log. */
function openRun({ options, plan }: Lead, onLogLost: (error: TrainerError) => void): OpenRun {
  const { config, dataset, checkpoint, init, resumed, forkedFrom, initFrom } = plan;
  const folder = resumed?.folder ?? RunFolder.create(options.runsDir, config.name);
  const { runId, directory } = folder;
  const generation = resumed?.generation ?? 1;
  const disk = new DiskTolerance((line) => logger.warn(line));
  const logs = new LogStore(folder.logs, (error, file) => {
    if (!disk.forgives(error, file)) onLogLost(asTrainerError(error));
  });
  const logger = createLogger({
    level: config.logLevel,
    origin: { run: runId, generation },
    destination: { write: (line) => logs.append('coordinator', line.trimEnd()) },
  });
  return {
    identity: {
      ...{ runId, generation, config, runDir: directory, datasetDir: dataset.dir },
      resumeFrom: checkpoint?.folder ?? null,
      initFrom: init?.folder ?? null,
    },
    ...{ folder, logs, logger, disk },
    resumedFrom: checkpoint?.manifest.step ?? null,
    forkedFrom: resumed === null ? forkedFrom : null,
    initFrom: resumed === null ? initFrom : null,
  };
}

/** LocMoE section 4.2: with fewer experts than nodes its local routing loses to hash routing. */
function warnOfFewExperts({ moe, cluster }: RunConfig, logger: Logger): void {
  if (moe.numExperts >= cluster.nodes) return;
  logger.warn(
    { numExperts: moe.numExperts, nodes: cluster.nodes },
    `fewer experts (${moe.numExperts}) than nodes (${cluster.nodes}): every node holds copies of some, and locality has little to win (moe.numExperts)`,
  );
}

/** Explains the failure and writes the report to the run's folder. */
function failedRun(
  failure: RunFailure,
  lead: Lead,
  coordinator: Coordinator,
  { folder }: OpenRun,
  { lastStep }: RunTotals,
): FailedRun {
  const node = failure.culprit?.node;
  const host = node === undefined ? null : coordinator.hostOf(node);
  const { generation } = coordinator.options.identity;
  const report = explainFailure(failure, { ...lead, folder, generation, host });
  try {
    folder.writeFailure(report);
  } catch {
    // The run may have failed because its folder cannot be written; the report is shown all the same.
  }
  // Before its first step a run was given something wrong; after it, it has failed, whatever the error.
  const exitCode = lastStep > 0 ? EXIT.failedRun : exitCodeOf(failure.error);
  return { kind: 'failed', exitCode, report };
}

function finishedRun(state: RunState, totals: RunTotals): FinishedRun {
  const stoppedEarly = state.kind === 'finished' && state.stoppedEarly;
  return { kind: 'finished', exitCode: stoppedEarly ? EXIT.interrupted : EXIT.done, stoppedEarly, totals };
}
