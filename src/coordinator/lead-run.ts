import { readManifest } from '../checkpoint/manifest.js';
import type { RunConfig } from '../config/schema.js';
import { GRACE } from '../config/timeouts.js';
import { EXIT, exitCodeOf, type TrainerError } from '../errors.js';
import type { Logger } from '../logger.js';
import { makePrivate } from '../os/make-folder.js';
import { heldExperts } from '../routing/index.js';
import type { RpcServer } from '../rpc/server.js';
import type { FailureReport } from '../run/failure-report.js';
import type { RunFolder, RunRecord } from '../run/run-folder.js';
import type { RunListener } from '../run/run-listener.js';
import { claimRun } from '../run/run-lock.js';
import { progressOfMetrics } from '../run/run-progress.js';
import { RunRecorder } from '../run/run-recorder.js';
import type { RunState } from '../run/run-state.js';
import { keepToken } from '../run/run-token.js';
import { Coordinator } from './coordinator.js';
import type { RunFailure, RunIdentity } from './coordinator-options.js';
import { explainFailure } from './failure-report.js';
import { nextIdentity, nodesThatSuffice } from './generation-start.js';
import { openRun } from './open-run.js';
import { commandLine, fromHere } from './planning/resume-command.js';
import { truncateHistory } from './planning/run-history.js';
import type { RunOptions, RunPlan } from './planning/run-options.js';
import { RecoveryAccounts } from './recovery-account.js';
import { RestartPolicy } from './restart-policy.js';
import { RunJournal, startsFrom } from './run-journal.js';
import { RunLeader } from './run-leader.js';
import type { FailedRun, FinishedRun, OpenRun, RunOutcome, RunView } from './run-view.js';
import { addCoordinatorService } from './service.js';
import { SnapshotTable } from './snapshot-table.js';
import { stopOnSignals } from './stop-signals.js';
import { catchUncaught } from './uncaught.js';

/** The node agents of a run, wherever they come from. */
export interface Nodes {
  /** One that dies before the start may be replaced. */
  readonly areReplaceable: boolean;
  /** For the first generation; later ones wait `cluster.rejoinTimeoutS`. */
  readonly joinTimeoutMs: number;
  start(leader: RunLeader, folder: RunFolder): void;
  /** Sees to it that all nodes come again, if it can; the agents whose pids are `present` do so by themselves. */
  restart(present: readonly number[]): void;
  /** Waits up to `graceMs` for all to leave, then ends those that it can. */
  end(leader: RunLeader, graceMs: number): Promise<void>;
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
  /** The token to keep in the run's folder, where agents and commands of this user find it; null if each of them is given one. */
  readonly token: string | null;
  readonly nodes: Nodes;
  readonly view: (run: OpenRun) => RunView;
  /** Who is notified beside the run's folder and its view. */
  readonly listeners: (run: OpenRun) => readonly RunListener[];
  /** For how many seconds this process goes on to serve how the run ended; not asked if a signal wants its end. */
  readonly lingerS: (outcome: RunOutcome) => number;
}

/** How to go on from the last checkpoint, whatever ends this process. */
function resumeCommandOf({ command, resumeOptions }: Lead, { directory }: RunFolder): string {
  return commandLine(['locmoe', command, '--resume', fromHere(directory), ...resumeOptions]);
}

/**
 * Leads a planned run, from its folder to its end; nothing of it is left running when it returns, and another process
 * may go on with it.
 */
export async function leadRun(lead: Lead): Promise<RunOutcome & { readonly lingerS: number }> {
  const { plan } = lead;
  const now = { generation: plan.resumed?.generation ?? 1 };
  let abort = (error: TrainerError): void => {
    throw error;
  };
  const run = openRun(lead, now, (error) => abort(error));
  const { folder, logs, logger, disk, totals, identity } = run;
  let giveUp = plan.resumed?.giveUp;
  const listeners: RunListener[] = [];
  try {
    // First: it shows what the log warns of from here on.
    const view = lead.view(run);
    listeners.push(view);
    if (!makePrivate(folder.directory))
      logger.warn(`${folder.directory} cannot be kept from other users: they can read the run and join it`);
    if (plan.resumed === null) {
      giveUp = await claimRun(folder, (line) => logger.warn(line));
      folder.writeConfig(plan.config);
    }
    keepToken(folder, lead.token);
    // Before the record: where one of them cannot begin, there is no run to find.
    listeners.push(...lead.listeners(run));
    const { runId, generation, datasetDir } = identity;
    const { forkedFrom, initFrom } = plan;
    const resumeCommand = resumeCommandOf(lead, folder);
    const origin = { runId, generation, datasetDir, forkedFrom, initFrom, resumeCommand, ...lead.place };
    const begun = plan.adopts === null ? { generation, resumedFrom: run.resumedFrom } : null;
    const recorder = new RunRecorder(folder, disk, origin, begun);
    const journal = new RunJournal(folder, generation, disk, (line) => {
      // At once: all that is left to say or write is another's.
      console.error(`locmoe: ${line}`);
      process.exit(EXIT.failedRun);
    });
    const accounts = new RecoveryAccounts((account) => {
      for (const listener of listeners) listener.recovered?.(account);
    });
    // The totals before what writes and may throw: the exit code depends on whether a step was done.
    const first = [truncateHistory(folder, plan), totals, recorder];
    listeners.unshift(...first, journal, accounts);
    const led: Led = {
      lead,
      run,
      now,
      listeners,
      view,
      journal,
      policy: new RestartPolicy(totals.budget),
      snapshots: new SnapshotTable(),
    };
    const leader = new RunLeader(begin(led, identity));
    abort = (error) => leader.abort(error);
    const { outcome, isSignalled } = await carryOut(led, leader);
    const lingerS = isSignalled ? 0 : lead.lingerS(outcome);
    if (lingerS > 0) recorder.lingers();
    return { ...outcome, lingerS };
  } finally {
    for (const listener of listeners) listener.close?.();
    logs.close();
    giveUp?.();
  }
}

interface Led {
  readonly lead: Lead;
  readonly run: OpenRun;
  readonly now: { generation: number };
  readonly listeners: readonly RunListener[];
  readonly view: RunView;
  readonly journal: RunJournal;
  readonly policy: RestartPolicy;
  readonly snapshots: SnapshotTable;
}

/** A generation that waits for its nodes. */
function begin(
  { lead, run, now, listeners, journal, policy, snapshots }: Led,
  identity: RunIdentity,
): Coordinator {
  const { plan, nodes } = lead;
  const isFirst = identity === run.identity;
  now.generation = identity.generation;
  const adopts = isFirst ? plan.adopts : null;
  if (adopts === null) journal.begin(identity);
  else journal.adopt(adopts);
  return new Coordinator({
    identity,
    logs: run.logs,
    logger: run.logger,
    listeners,
    configured: plan.config,
    adopts,
    term: journal.term,
    assertLeads: () => journal.assertLeads(),
    joinTimeoutMs: isFirst ? nodes.joinTimeoutMs : plan.config.cluster.rejoinTimeoutS * 1000,
    nodesAreReplaceable: nodes.areReplaceable,
    allowsFaults: lead.options.allowFaults,
    mayRestart: (failure, { kind }) => policy.decide(failure, kind),
    snapshots,
    maySuffice: (numNodes) => nodes.areReplaceable && !isFirst && nodesThatSuffice(plan.config, numNodes) > 0,
    trainedSeconds: trainedSecondsAt(identity.resumeFrom),
  });
}

function trainedSecondsAt(checkpoint: string | null): number {
  return checkpoint === null ? 0 : progressOfMetrics(readManifest(checkpoint).metrics).trainingSeconds;
}

/** Starts the nodes, leads generation after generation until the run is over, and ends the nodes. */
async function carryOut(
  led: Led,
  leader: RunLeader,
): Promise<{ readonly outcome: RunOutcome; readonly isSignalled: boolean }> {
  const { lead, run, view } = led;
  const { plan, rpc, nodes } = lead;
  const { folder, logger } = run;
  const service = addCoordinatorService(rpc.server, leader);
  rpc.onRefused = (line) => logger.warn(line);
  const signals = stopOnSignals(leader, (line) => view.print(line));
  const leaveUncaught = catchUncaught({
    leader,
    logger,
    view,
    lastWords(error) {
      const failed = failedRun(led, leader.current, { timeMs: Date.now(), error, culprit: null, ranks: [] });
      view.failed(failed);
      process.exit(failed.exitCode);
    },
  });
  let endsByMs = Number.POSITIVE_INFINITY;
  const fence = setInterval(() => led.journal.assertLeads(), GRACE.fenceMs);
  try {
    // Nodes first: until a child has its own process group, Ctrl-C would end it too.
    nodes.start(leader, folder);
    view.begun();
    warnOfFewExperts(plan.config, logger);
    leader.current.announceAdoption();
    let state = await leader.current.settled;
    for (; state.kind === 'restarting'; state = await leader.current.settled) await restart(led, leader);
    if (state.kind === 'failed') endsByMs = performance.now() + GRACE.endMs;
    const { failure } = leader.current;
    const failed = failure && failedRun(led, leader.current, failure);
    await nodes.end(leader, GRACE.leaveMs);
    if (failed !== null) {
      view.failed(failed);
      return { outcome: failed, isSignalled: signals.any };
    }
    const finished = finishedRun(state, lead.command === 'serve' && leader.isStoppedByCommand);
    led.journal.end(finished.stopped === null ? 'finished' : 'stopped', finished.exitCode);
    signals.forget();
    await view.finished(finished);
    return { outcome: finished, isSignalled: signals.any };
  } finally {
    clearInterval(fence);
    await nodes.end(leader, 0);
    signals.forget();
    await service.endLogs(Math.min(GRACE.lastLinesMs, endsByMs - performance.now()));
    leaveUncaught();
    leader.current.close();
  }
}

/** After a failure: reports it, ends what is left of the generation, and begins the next one. */
async function restart(led: Led, leader: RunLeader): Promise<void> {
  const { lead, listeners, policy, journal } = led;
  const failed = leader.current;
  const report = reportOf(led, failed, failed.failure!, null);
  journal.failure(report);
  for (const listener of listeners) listener.restarts?.(report, policy.budget.left);
  const present = await failed.sendOn(GRACE.leaveMs);
  failed.close();
  const generation = led.now.generation + 1;
  const { identity, error } = await nextIdentity({ ...led, plan: lead.plan, generation, failed });
  for (const listener of listeners)
    listener.generation?.({
      generation,
      resumedFrom: startsFrom(identity) === 'nothing' ? null : identity.resumedStep,
      nodes: identity.config.cluster.nodes,
    });
  leader.lead(begin(led, identity));
  if (error !== null) leader.abort(error);
  else lead.nodes.restart(present);
}

/** LocMoE section 4.2: with fewer experts than nodes its local routing loses to hash routing. */
function warnOfFewExperts({ moe, cluster }: RunConfig, logger: Logger): void {
  const numExperts = heldExperts(moe).count;
  if (numExperts >= cluster.nodes) return;
  logger.warn(
    { numExperts, nodes: cluster.nodes },
    `fewer experts (${numExperts}) than nodes (${cluster.nodes}): every node holds copies of some, and locality has little to win (moe.numExperts)`,
  );
}

/** Explains a failure and writes the report to the run's folder. */
function reportOf(
  { lead, run: { folder } }: Led,
  coordinator: Coordinator,
  failure: RunFailure,
  notRestarted: string | null,
): FailureReport {
  const node = failure.culprit?.node;
  const host = node === undefined ? null : coordinator.hostOf(node);
  const { generation, resumeFrom: startedFrom } = coordinator.options.identity;
  const report = explainFailure(failure, { ...lead, folder, generation, startedFrom, host, notRestarted });
  try {
    folder.writeFailure(report);
  } catch {
    // The run may have failed because its folder cannot be written; the report is shown all the same.
  }
  return report;
}

function failedRun(led: Led, coordinator: Coordinator, failure: RunFailure): FailedRun {
  const { run, policy, journal } = led;
  const report = reportOf(led, coordinator, failure, policy.whyNot);
  // Before its first step a run was given something wrong; after it, it has failed, whatever the error.
  const hasFailed = run.totals.lastStep > 0 && failure.error.code !== 'BAD_CHECKPOINT';
  const exitCode = hasFailed ? EXIT.failedRun : exitCodeOf(failure.error);
  journal.failure(report);
  journal.end('failed', exitCode);
  return { kind: 'failed', exitCode, report };
}

/** @param isDone a stop leaves nothing to do: what supervises a coordinator starts one again that ends otherwise */
function finishedRun(state: RunState, isDone: boolean): FinishedRun {
  const stopped = state.kind === 'finished' ? state.stopped : null;
  return { kind: 'finished', exitCode: stopped !== null && !isDone ? EXIT.interrupted : EXIT.done, stopped };
}
