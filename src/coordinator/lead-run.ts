import type { FailureReport } from '@locmoe/run-format';
import { readManifest } from '../checkpoint/manifest.js';
import { GRACE } from '../config/timeouts.js';
import { exitCodeOf } from '../errors.js';
import { fromHere, locmoeCommand } from '../os/command-line.js';
import { makePrivate } from '../os/make-folder.js';
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
import { warnOfFewExperts } from './planning/limits.js';
import { truncateHistory } from './planning/run-history.js';
import { recoveryAccounts } from './recovery-account.js';
import { RestartPolicy } from './restart-policy.js';
import { RunJournal, startsFrom } from './run-journal.js';
import type { LedOutcome, RunLaunch } from './run-launch.js';
import { RunLeader } from './run-leader.js';
import type { FailedRun, FinishedRun, OpenRun, RunView } from './run-view.js';
import { addCoordinatorService } from './service.js';
import { SnapshotTable } from './snapshot-table.js';

/** Leads a planned run to its end. Nothing is left running when it returns, and another process may resume it. */
export async function leadRun(launch: RunLaunch): Promise<LedOutcome & { readonly lingerS: number }> {
  const { plan } = launch;
  const now = { generation: plan.resumed?.generation ?? 1 };
  const leader = new RunLeader();
  const run = openRun(launch, now, leader);
  const { folder, logs, logger, disk, totals, identity } = run;
  let giveUp = plan.resumed?.giveUp;
  const listeners: RunListener[] = [];
  try {
    // The view comes first, as it shows the warnings that are logged from here on.
    const view = launch.view(run);
    listeners.push(view);
    if (!makePrivate(folder.directory))
      logger.warn(`${folder.directory} cannot be kept from other users: they can read the run and join it`);
    if (plan.resumed === null) {
      giveUp = await claimRun(folder, (line) => logger.warn(line));
      folder.writeConfig(plan.config);
    }
    keepToken(folder, launch.token);
    // These listeners are created before the record: if one of them fails, there is no run to find.
    listeners.push(...launch.listeners(run));
    const { runId, generation, datasetDir } = identity;
    const { forkedFrom, initFrom } = plan;
    const { command, resumeOptions, place } = launch;
    const resumeCommand = locmoeCommand([command, '--resume', fromHere(folder.directory), ...resumeOptions]);
    const origin = { runId, generation, datasetDir, forkedFrom, initFrom, resumeCommand, ...place };
    const begun = plan.adopts === null ? { generation, resumedFrom: run.resumedFrom } : null;
    const recorder = new RunRecorder(folder, disk, origin, begun);
    const journal = new RunJournal(folder, generation, disk, launch.host.superseded);
    const accounts = recoveryAccounts({
      recovered(account) {
        for (const listener of listeners) listener.recovered?.(account);
      },
      bill(bill) {
        for (const listener of listeners) listener.bill?.(bill);
      },
    });
    // The totals precede listeners that write and may throw, since the exit code depends on whether a step was done.
    const first = [truncateHistory(folder, plan), totals, recorder];
    listeners.unshift(...first, journal, accounts);
    const context: RunContext = {
      launch,
      run,
      now,
      listeners,
      view,
      journal,
      policy: new RestartPolicy(totals.budget),
      snapshots: new SnapshotTable(),
    };
    leader.advance(begin(context, identity));
    const outcome = await carryOut(context, leader);
    const lingerS = launch.lingerS(outcome);
    if (lingerS > 0) recorder.lingers();
    return { ...outcome, lingerS };
  } finally {
    for (const listener of listeners) listener.close?.();
    logs.close();
    giveUp?.();
  }
}

interface RunContext {
  readonly launch: RunLaunch;
  readonly run: OpenRun;
  readonly now: { generation: number };
  readonly listeners: readonly RunListener[];
  readonly view: RunView;
  readonly journal: RunJournal;
  readonly policy: RestartPolicy;
  readonly snapshots: SnapshotTable;
}

/**
 * Begins a generation, which waits for its nodes.
 *
 * @param numRejoining number of nodes that left the last generation in order
 */
function begin(
  { launch, run, now, listeners, journal, policy, snapshots }: RunContext,
  identity: RunIdentity,
  numRejoining = 0,
): Coordinator {
  const { plan, nodes } = launch;
  const { cluster } = plan.config;
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
    joinTimeoutMs: isFirst ? nodes.joinTimeoutMs : 1000 * cluster.rejoinTimeoutS,
    ...(isFirst ? {} : { grace: { ms: 1000 * cluster.nodeGraceS, numRejoining } }),
    nodesAreReplaceable: nodes.areReplaceable,
    allowsFaults: launch.options.allowFaults,
    mayRestart: (failure, { kind }) => policy.decide(failure, kind, startsFrom(identity)),
    snapshots,
    run,
    numSufficing: (numNodes) => (nodes.areReplaceable ? nodesThatSuffice(plan.config, numNodes) : 0),
    trainedSeconds: trainedSecondsAt(identity.resumeFrom),
  });
}

function trainedSecondsAt(checkpoint: string | null): number {
  return checkpoint === null ? 0 : progressOfMetrics(readManifest(checkpoint).metrics).trainingSeconds;
}

/** Starts the nodes, leads generation after generation until the run is over, and ends the nodes. */
async function carryOut(context: RunContext, leader: RunLeader): Promise<LedOutcome> {
  const { launch, run, view } = context;
  const { plan, rpc, nodes } = launch;
  const { folder, logger } = run;
  const service = addCoordinatorService(rpc.server, leader, run.logs);
  rpc.onRefused = (line) => logger.warn(line);
  const watch = launch.host.watch({
    leader,
    logger,
    view,
    lastWords(error) {
      const failed = failedRun(context, leader.current, {
        timeMs: Date.now(),
        error,
        culprit: null,
        ranks: [],
      });
      view.failed(failed);
      return failed.exitCode;
    },
  });
  let endsByMs = Number.POSITIVE_INFINITY;
  const fence = fenceOf(context.journal);
  try {
    // The nodes come first: until a child has its own process group, Ctrl-C would end it too.
    nodes.start(leader, folder);
    view.begun();
    warnOfFewExperts(plan.config, logger);
    leader.current.announceAdoption();
    const settled = () => Promise.race([leader.current.lifecycle.settled, fence.superseded]);
    let state = await settled();
    for (; state.kind === 'restarting'; state = await settled()) await restart(context, leader);
    if (state.kind === 'failed') endsByMs = performance.now() + GRACE.endMs;
    const { failure } = leader.current.lifecycle;
    const failed = failure && failedRun(context, leader.current, failure);
    await nodes.end(leader, GRACE.leaveMs);
    if (failed !== null) {
      view.failed(failed);
      return { ...failed, isSignalled: watch.any };
    }
    const finished = finishedRun(state, launch.command !== 'train' && leader.isStoppedByCommand);
    context.journal.end(finished.stopped === null ? 'finished' : 'stopped', finished.exitCode);
    watch.forget();
    await view.finished(finished);
    return { ...finished, isSignalled: watch.any };
  } finally {
    clearInterval(fence.timer);
    await nodes.end(leader, 0);
    watch.forget();
    await service.endLogs(Math.min(GRACE.lastLinesMs, endsByMs - performance.now()));
    watch.leave();
    leader.current.close();
  }
}

/** Checks regularly that this process still leads the run; `superseded` rejects once it does not. */
function fenceOf(journal: RunJournal): {
  readonly timer: NodeJS.Timeout;
  readonly superseded: Promise<never>;
} {
  let lose: (error: unknown) => void;
  const superseded = new Promise<never>((_, reject) => {
    lose = reject;
  });
  // Nobody awaits `superseded` while a generation restarts.
  superseded.catch(() => undefined);
  const timer = setInterval(() => {
    try {
      journal.assertLeads();
    } catch (error) {
      lose(error);
    }
  }, GRACE.fenceMs);
  return { timer, superseded };
}

/** Reports a failure, ends what is left of the generation, and begins the next one. */
async function restart(context: RunContext, leader: RunLeader): Promise<void> {
  const { launch, run, listeners, journal } = context;
  const failed = leader.current;
  const report = reportOf(context, failed, failed.lifecycle.failure!, null);
  journal.failure(report);
  for (const listener of listeners) listener.restarts?.(report, run.totals.budget.left);
  const present = await failed.members.moveToNextGeneration(GRACE.leaveMs);
  failed.close();
  inheritSnapshots(context, failed);
  const generation = context.now.generation + 1;
  const { identity, error } = await nextIdentity({ ...context, plan: launch.plan, generation, failed });
  for (const listener of listeners)
    listener.generation?.({
      generation,
      resumedFrom: startsFrom(identity) === 'nothing' ? null : identity.resumedStep,
      nodes: identity.config.cluster.nodes,
    });
  leader.advance(begin(context, identity, present.length));
  if (error !== null) leader.abort(error);
  else launch.nodes.restart(present);
}

/** Keeps account of the snapshots that are left: those of nodes that go on, and what lost nodes have left on this machine. */
function inheritSnapshots({ launch, snapshots }: RunContext, { members, identity }: Coordinator): void {
  snapshots.keepOnly(members.rejoining);
  for (const { node, isDone, request } of members.all)
    for (const ref of isDone ? [] : launch.nodes.inherit({ node, pid: request.pid, identity }))
      snapshots.addLocal(node, ref, identity.config.cluster.nodes);
}

function reportOf(
  { launch, run: { folder } }: RunContext,
  coordinator: Coordinator,
  failure: RunFailure,
  notRestarted: string | null,
): FailureReport {
  const node = failure.culprit?.node;
  const host = node === undefined ? null : coordinator.members.hostOf(node);
  const { generation, resumeFrom: startedFrom } = coordinator.identity;
  return explainFailure(failure, { ...launch, folder, generation, startedFrom, host, notRestarted });
}

function failedRun(context: RunContext, coordinator: Coordinator, failure: RunFailure): FailedRun {
  const { run, policy, journal } = context;
  const report = reportOf(context, coordinator, failure, policy.whyNot);
  const exitCode = exitCodeOf(failure.error, { hasTrained: run.totals.lastStep > 0 });
  journal.failure(report);
  journal.end('failed', exitCode);
  return { kind: 'failed', exitCode, report };
}

/** @param isDone true if a stop completes the run: a supervisor restarts a coordinator with any other exit code */
function finishedRun(state: RunState, isDone: boolean): FinishedRun {
  const stopped = state.kind === 'finished' ? state.stopped : null;
  return {
    kind: 'finished',
    exitCode: exitCodeOf(null, { isInterrupted: stopped !== null && !isDone }),
    stopped,
  };
}
