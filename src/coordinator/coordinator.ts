import path from 'node:path';
import { type CheckpointReport, stepOf, TOKENIZER_FILE } from '@locmoe/run-format';
import { timeoutsOf } from '../config/timeouts.js';
import { asTrainerError, TrainerError } from '../errors.js';
import type { AgentEvent, Fault, Finished, StatusReply } from '../rpc/generated/messages.js';
import { Admission } from './admission.js';
import { AgentEventRules, assertFault } from './agent-messages.js';
import { CheckpointCommitter } from './checkpoint-committer.js';
import type { CoordinatorOptions, RunIdentity } from './coordinator-options.js';
import { DeadlineWatch } from './deadline-watch.js';
import { FailureJudge } from './failure-judge.js';
import { Lifecycle } from './lifecycle.js';
import type { Member } from './member.js';
import { Membership } from './membership.js';
import { slowLink } from './planning/limits.js';
import { Reports } from './reports.js';
import { endUnknown, type ProcessEnd } from './root-cause.js';
import { StandstillWatch } from './standstill.js';

/**
 * A generation of a run, composed of its members, its lifecycle and the handlers of its events. It knows neither gRPC
 * (service.ts) nor terminals (its listeners).
 */
export class Coordinator {
  readonly identity: RunIdentity;
  readonly members: Membership;
  readonly lifecycle: Lifecycle;
  readonly admission: Admission;
  readonly #rules: AgentEventRules;
  readonly #reports: Reports;
  readonly #committer: CheckpointCommitter;
  readonly #judge: FailureJudge;
  readonly #watch: DeadlineWatch;
  #stoppedEarly = false;
  #stopAsked: string | null = null;

  constructor(private readonly options: CoordinatorOptions) {
    const { identity, logger, adopts } = options;
    const { config, generation } = identity;
    const { cluster } = config;
    const timeouts = timeoutsOf(cluster);
    const standstill = new StandstillWatch(timeouts.heartbeatMs);
    this.identity = identity;
    this.#rules = new AgentEventRules(config, generation);
    this.members = new Membership(identity.runId, cluster.nodes, timeouts, options.assertLeads);
    if (adopts) this.members.adopt(adopts.members);
    this.#reports = new Reports(options, this.members);
    const { ranks } = this.#reports;
    this.lifecycle = new Lifecycle(options, this.members, ranks);
    this.admission = new Admission(options, this.members, this.lifecycle);
    this.#committer = createCommitter(options, this.members, this.lifecycle, ({ step }) => {
      if (step < config.train.steps) this.admission.takeIn();
    });
    this.lifecycle.onFailed(() => this.#committer.abandon());
    this.#judge = new FailureJudge({
      members: this.members,
      numNodes: cluster.nodes,
      workersPerNode: cluster.workersPerNode,
      progress: ranks,
      slowLink: slowLink(cluster),
      lastStep: () => this.#reports.lastStep,
      isOver: () => this.lifecycle.isOver,
      missedMs: () => standstill.missedMs,
      evidenceWindowMs: options.evidenceWindowMs,
      onVerdict: (cause) => this.lifecycle.fail(cause),
    });
    this.#watch = new DeadlineWatch({
      members: this.members,
      ranks,
      logger,
      timeouts,
      standstill,
      lifecycle: this.lifecycle,
      admission: this.admission,
      judge: this.#judge,
    });
  }

  /** Announces the generation and step adopted from the previous coordinator. */
  announceAdoption(): void {
    const { adopts, logger, listeners } = this.options;
    if (!adopts) return;
    const text = `generation ${adopts.generation} goes on after step ${adopts.step}; waiting for its nodes to come back`;
    logger.info(text);
    for (const listener of listeners) listener.membership?.(text);
    for (const listener of listeners) listener.state?.(this.lifecycle.state);
    const { committed, isCommitRecorded } = adopts;
    if (committed !== null && !isCommitRecorded)
      for (const listener of listeners) listener.checkpoint?.(committed);
  }

  /** Handles the end of a session: the node is lost, unless it announced that it leaves. */
  disconnect(node: number, reason: string): void {
    const member = this.members.get(node);
    member.session = null;
    if (this.admission.canReplace) this.admission.free(member, reason);
    else if (!member.isDone) this.#lose(member, endUnknown(reason));
  }

  /** Handles the exit of a node agent on this machine, which says more than its broken session. */
  agentEnded(pid: number, end: ProcessEnd): void {
    const member = this.members.all.find((each) => each.request.pid === pid);
    if (member?.status === 'lost') this.#judge.restate(member, end);
    else if (member !== undefined && !member.isDone) this.#lose(member, end);
    else if (this.lifecycle.state.kind === 'waiting')
      this.lifecycle.fail({
        error: new TrainerError('NODE_LOST', `a node agent (pid ${pid}) ${end.how} before it had joined`),
        culprit: null,
      });
  }

  /**
   * Handles one event of a node's session; an event that cannot be recorded ends the run.
   *
   * @throws TrainerError `BAD_MESSAGE` for an event that no agent would send, without any effect
   */
  receive(node: number, event: AgentEvent): void {
    this.#rules.assertAllowed(event, node, this.lifecycle.state.kind);
    try {
      this.#receive(node, event);
    } catch (error) {
      if (error instanceof TrainerError && error.code === 'BAD_MESSAGE') throw error;
      this.lifecycle.abort(asTrainerError(error, { step: this.#reports.lastStep }));
    }
  }

  #receive(node: number, event: AgentEvent): void {
    const member = this.members.get(node);
    member.heardOfMs = performance.now();
    // Other events were in flight when the generation ended.
    if (this.lifecycle.isOver && !['logs', 'failure', 'leaving'].includes(event.event)) return;
    switch (event.event) {
      case 'logs':
        this.#reports.logs(member, event.logs);
        break;
      case 'heartbeat':
        this.#reports.heartbeat(member, event.heartbeat);
        break;
      case 'step':
        this.#reports.step(member, event.step);
        break;
      case 'validation':
        this.#reports.validation(member, event.validation);
        break;
      case 'saving':
        this.#committer.announce(event.saving, member.hasReturned);
        break;
      case 'shards':
        this.#committer.receive(event.shards, member.hasReturned);
        break;
      case 'snapshot':
        this.options.snapshots?.add(node, event.snapshot, this.identity.config.cluster.nodes);
        break;
      case 'failure':
        this.#reports.failure(member, event.failure);
        this.#judge.fail(event.failure);
        break;
      case 'stop':
        this.requestStop(event.stop.reason);
        break;
      case 'ready':
        this.#ready(member);
        break;
      case 'leaving':
        for (const each of event.leaving.snapshots)
          this.options.snapshots?.addLocal(node, each, this.identity.config.cluster.nodes);
        // A node that leaves without being told to counts as lost once its session ends.
        if (!member.isDone && (this.#judge.hasBegun || !this.lifecycle.isUnderWay)) member.become('left');
        break;
      case 'finished':
        this.#finished(member, event.finished);
        break;
      default:
        event satisfies never;
    }
  }

  #ready(member: Member): void {
    if (member.status !== 'connected') return;
    member.become('ready');
    if (!this.members.allAre('ready')) return;
    this.lifecycle.apply({ type: 'workers-ready' });
    this.members.broadcast({ command: 'begin', begin: {} });
    if (this.#stopAsked !== null) this.requestStop(this.#stopAsked);
  }

  #finished(member: Member, { stoppedEarly }: Finished): void {
    if (member.hasReturned && member.isDone) return;
    member.become('finished');
    this.#stoppedEarly ||= stoppedEarly;
    if (this.members.allAre('finished'))
      this.lifecycle.apply({ type: 'all-finished', stoppedEarly: this.#stoppedEarly });
  }

  /**
   * Requests a final checkpoint after this step, or after the first one if no step has started. A run that waits for
   * nodes started elsewhere, which may never come, ends at once.
   */
  requestStop(reason: string): void {
    this.#stopAsked = reason;
    if (this.admission.canReplace) this.lifecycle.apply({ type: 'stopped-waiting', reason });
    this.lifecycle.stop(reason, null);
  }

  /**
   * Fails the run for an unforeseen error in this process. A run that trains saves a last checkpoint first; a second
   * error, or a checkpoint that takes too long, fails it at once.
   */
  crash(error: TrainerError): void {
    this.lifecycle.stop('error in the coordinator', error);
    if (this.lifecycle.state.kind !== 'stopping' || this.lifecycle.state.cause !== error)
      this.lifecycle.abort(error);
  }

  /** @throws TrainerError `BAD_INPUT` if the run allows no faults, or has no such node or rank */
  injectFault(fault: Fault): void {
    const { allowsFaults, identity, logger } = this.options;
    if (allowsFaults !== true)
      throw new TrainerError(
        'BAD_INPUT',
        `run ${identity.runId} takes no faults: it was started without --allow-faults`,
      );
    assertFault(fault, identity.config.cluster.workersPerNode);
    const { session } = this.members.get(fault.node);
    if (session === null) throw new TrainerError('BAD_INPUT', `node ${fault.node} has no session`);
    logger.warn({ fault }, `a fault is injected on node ${fault.node}`);
    session.send({ command: 'fault', fault });
  }

  status(): StatusReply {
    const { runId, generation, runDir, resumeFrom, config } = this.identity;
    const { run, snapshots } = this.options;
    const savedStep = run?.totals.lastCheckpoint?.step ?? (resumeFrom === null ? 0 : stepOf(resumeFrom));
    const snapshot = snapshots?.newest(config.cluster.nodes, savedStep) ?? null;
    return {
      runId,
      generation,
      state: this.lifecycle.state.kind,
      runDir,
      ...this.#reports.status,
      nodes: this.members.all.map(({ node, request: { host, pid } }) => ({ node, host, pid })),
      allowsFaults: this.options.allowsFaults === true,
      notRecordingSinceMs: run?.disk.notRecordingSince ?? 0,
      lostRecords: run?.disk.numLost ?? 0,
      failedCheckpoints: run?.totals.failedCheckpoints ?? 0,
      restartStep: snapshot?.step ?? savedStep,
      restartsFrom: snapshot !== null ? 'snapshot' : savedStep > 0 ? 'checkpoint' : 'nothing',
    };
  }

  close(): void {
    this.#watch.close();
    this.#judge.close();
  }

  #lose(member: Member, end: ProcessEnd): void {
    // After a standstill, events may be handled before the watch's timer fires.
    this.#watch.forgiveStandstill();
    this.#judge.lose(member, end);
  }
}

function createCommitter(
  options: CoordinatorOptions,
  members: Membership,
  lifecycle: Lifecycle,
  afterwards: (report: CheckpointReport) => void,
) {
  const { identity, logger, listeners, configured = identity.config, assertLeads } = options;
  const { runId, generation, runDir, datasetDir } = identity;
  const { cluster, train } = identity.config;
  return new CheckpointCommitter({
    run: {
      runId,
      generation,
      config: configured,
      root: path.join(runDir, 'checkpoints'),
      keep: train.keepCheckpoints,
      world: { nodes: cluster.nodes, workersPerNode: cluster.workersPerNode },
      tokenizerFile: path.join(datasetDir, TOKENIZER_FILE),
    },
    tell: (command) => members.broadcast(command),
    onCommit: (report) => {
      logger.info({ directory: report.directory }, 'checkpoint saved');
      for (const listener of listeners) listener.checkpoint?.(report);
      afterwards(report);
    },
    onNoRoom: (step) => {
      for (const listener of listeners) listener.checkpointFailed?.(step);
    },
    warn: (line) => logger.warn(line),
    onFailure: (error) => lifecycle.fail({ error, culprit: null }),
    committedBefore: options.adopts?.committed?.step ?? null,
    assertLeads,
  });
}
