import { existsSync } from 'node:fs';
import { LogStore } from '@locmoe/logs';
import { committedFolders } from '../checkpoint/folders.js';
import { LogView } from '../cli/log-view.js';
import { ProgressView } from '../cli/progress-view.js';
import { pageUrl } from '../cli/run-http.js';
import { summarize } from '../cli/run-summary.js';
import type { RunConfig } from '../config/schema.js';
import { asTrainerError, EXIT, exitCodeOf, type TrainerError } from '../errors.js';
import { formatNumberOf, printable } from '../format.js';
import { createLogger, type Logger, parseLogLine } from '../logger.js';
import type { PrometheusMetrics } from '../metrics/prometheus/prometheus-metrics.js';
import { TensorboardExport } from '../metrics/tensorboard/tensorboard-export.js';
import type { RpcServer } from '../rpc/server.js';
import type { FailureReport } from '../run/failure-report.js';
import { tolerateFullDisk } from '../run/full-disk.js';
import { RunFolder, type RunRecord } from '../run/run-folder.js';
import type { RunListener } from '../run/run-listener.js';
import { claimRun } from '../run/run-lock.js';
import { RunRecorder } from '../run/run-recorder.js';
import type { RunState } from '../run/run-state.js';
import { Coordinator, type RunFailure } from './coordinator.js';
import { failedStep, failureLines, failureReport } from './failure-report.js';
import { commandLine, fromHere, howToGoOn } from './resume-command.js';
import { takeBack } from './run-history.js';
import type { RunOptions, RunPlan } from './run-options.js';
import type { RunView } from './run-view.js';
import { addCoordinatorService } from './service.js';
import { stopOnSignals } from './stop-signals.js';
import { leadsToFailure } from './suspect-checkpoint.js';
import { catchUncaught } from './uncaught.js';

/** Time for agents to leave once the run has settled. */
const LEAVE_GRACE_MS = 4_000;
/** How long followers may take to read the rest once the log is complete. */
const LAST_LINES_MS = 2_000;
/** From a failure to the end of this process, whatever agents and followers do; more than agents get. */
const END_MS = 4_800;

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
  /** What that command needs beside `--resume RUN`. */
  readonly resumeOptions: readonly string[];
  readonly plan: RunPlan;
  /** Listens already. */
  readonly rpc: RpcServer;
  /** Told of the run, if somebody can ask for them. */
  readonly metrics: PrometheusMetrics | null;
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
  const { config, dataset, checkpoint, resumed, forkedFrom } = plan;
  const folder = resumed?.folder ?? RunFolder.create(options.runsDir, config.name);
  const generation = resumed?.generation ?? 1;
  const identity = {
    runId: folder.runId,
    generation,
    config,
    runDir: folder.directory,
    datasetDir: dataset.dir,
    resumeFrom: checkpoint?.folder ?? null,
  };
  const fullDisk = tolerateFullDisk((line) => logger.warn(line));
  const logs = new LogStore(folder.logs, (error, file) => {
    if (!fullDisk(error, file)) coordinator.abort(asTrainerError(error));
  });
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
  const recorder = new RunRecorder(folder, view, dataset, fullDisk);
  const tensorboard = tensorboardOf(lead, folder, logger);
  const coordinator = new Coordinator({
    identity,
    logs,
    logger,
    listeners: [
      takeBack(folder, plan),
      recorder,
      ...metricsOf(lead, folder, generation),
      ...(tensorboard === null ? [] : [tensorboard]),
    ],
    joinTimeoutMs: nodes.joinTimeoutMs,
    nodesAreReplaceable: nodes.areReplaceable,
  });
  const service = addCoordinatorService(rpc.server, coordinator);
  rpc.onRefused = (line) => logger.warn(line);
  const forgetSignals = stopOnSignals(coordinator, (line) => view.print(line));
  const leaveUncaught = catchUncaught({
    ...{ coordinator, logger, view },
    lastWords(error) {
      const failure = coordinator.failure ?? { timeMs: Date.now(), error, culprit: null, ranks: [] };
      const report = explain(failure, lead, coordinator, folder);
      process.exit(tellFailure(report, failure.error, lead, recorder, logger));
    },
  });
  let endsByMs = Number.POSITIVE_INFINITY;
  const unfollow = jsonLogs ? () => undefined : logs.follow(troubleShower(view));
  try {
    if (resumed === null) {
      await claimRun(folder, (line) => logger.warn(line));
      folder.writeConfig(config);
    }
    recorder.begin(coordinator, { ...place, forkedFrom }, checkpoint?.manifest.step ?? null);
    // Said only after: until a child has its own process group, Ctrl-C would end it too.
    nodes.start(coordinator, folder);
    const { nodes: numNodes, workersPerNode } = config.cluster;
    view.print(
      `run ${folder.runId}: ${formatNumberOf(numNodes, 'node')} x ${formatNumberOf(workersPerNode, 'worker')}, router ${config.moe.router}, coordinator ${place.address}; ${nodes.announcement}`,
    );
    if (resumed === null && forkedFrom !== null)
      view.print(`it starts from step ${forkedFrom.step} of run ${forkedFrom.runId}`);
    if (place.http !== undefined) view.print(`page: ${pageUrl(place.http, folder.runId)}`);
    warnOfFewExperts(config, logger);
    const state = await coordinator.settled;
    if (state.kind === 'failed') endsByMs = performance.now() + END_MS;
    const report = coordinator.failure && explain(coordinator.failure, lead, coordinator, folder);
    await nodes.end(coordinator, LEAVE_GRACE_MS);
    view.close();
    if (state.kind === 'failed' && report !== null)
      return tellFailure(report, state.error, lead, recorder, logger);
    return await conclude(state, lead, recorder, logger);
  } finally {
    await nodes.end(coordinator, 0);
    view.close();
    unfollow();
    forgetSignals();
    await service.endLogs(Math.min(LAST_LINES_MS, endsByMs - performance.now()));
    leaveUncaught();
    coordinator.close();
    tensorboard?.close();
    logs.close();
  }
}

function metricsOf(
  { metrics, plan: { config, checkpoint } }: Lead,
  folder: RunFolder,
  generation: number,
): RunListener[] {
  if (metrics === null) return [];
  const { name, moe, train, cluster } = config;
  return metrics.begin(folder.runId, {
    ...{ generation, recipe: name, router: moe.router, steps: train.steps },
    ...{ nodes: cluster.nodes, workersPerNode: cluster.workersPerNode },
    resumedFrom: checkpoint?.manifest.step ?? null,
    earlierFailures: folder.failures().map(({ code }) => code),
  });
}

function tensorboardOf(
  { options, plan: { checkpoint } }: Lead,
  folder: RunFolder,
  logger: Logger,
): TensorboardExport | null {
  if (options.tensorboard === undefined) return null;
  const resumedFrom = checkpoint?.manifest.step ?? null;
  const { tensorboard: directory } = options;
  return new TensorboardExport({ directory, runId: folder.runId, resumedFrom, logger });
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

/** Warnings appear above the progress line, each once; the error that ends a run is told at its end instead. */
function troubleShower(view: RunView): (line: string) => void {
  const shown = new Set<string>();
  return (line) => {
    const { level, msg } = parseLogLine(line);
    if (level !== 'warn' || shown.has(msg)) return;
    shown.add(msg);
    view.print(`warning: ${printable(msg)}`);
  };
}

/** Puts together why the run failed and how to go on, and keeps it in the run's folder. */
function explain(
  failure: RunFailure,
  { command, options, resumeOptions, plan }: Lead,
  coordinator: Coordinator,
  folder: RunFolder,
): FailureReport {
  const { generation } = coordinator.options.identity;
  const node = failure.culprit?.node;
  const startedFrom = plan.checkpoint?.folder ?? null;
  const { code, context } = failure.error;
  const operation = failure.culprit?.operation ?? context.operation ?? null;
  const known = { code, step: failedStep(failure), operation };
  const { config } = plan;
  const report = failureReport({
    failure,
    generation,
    host: node === undefined ? null : coordinator.hostOf(node),
    goOn: howToGoOn({
      ...{ command, options, resumeOptions, config, folder, generation, startedFrom },
      failure: known,
    }),
    suspectCheckpoint:
      [startedFrom, ...committedFolders(folder.checkpoints)].find(
        (one) => one !== null && leadsToFailure(one, known),
      ) ?? null,
    logsCommand: commandLine(['locmoe', 'logs', '--run', fromHere(folder.directory), '--level', 'warn']),
  });
  try {
    folder.writeFailure(report);
  } catch {
    // The run may have failed because its folder cannot be written; the report is shown all the same.
  }
  return report;
}

/** Shows the report to a person or as one log record; returns the exit code. */
function tellFailure(
  report: FailureReport,
  error: TrainerError,
  { jsonLogs }: Lead,
  { folder, lastStep }: RunRecorder,
  logger: Logger,
): number {
  // Once it trained, a run has failed, whatever it lacked; before, something it was given was wrong.
  const code = lastStep > 0 ? EXIT.failedRun : exitCodeOf(error);
  const [first, ...rest] = failureLines(report);
  if (jsonLogs) {
    const { checkpoint } = report;
    logger.fatal({ exitCode: code, checkpoint, failure: report }, first);
  } else {
    const flight = commandLine(['locmoe', 'flight', fromHere(folder.directory)]);
    const lagging = existsSync(folder.flight) ? [`  who lagged: ${flight}`] : [];
    console.error([`locmoe: ${first}`, ...rest, ...lagging].join('\n'));
  }
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
