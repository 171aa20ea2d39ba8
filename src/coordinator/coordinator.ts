import path from 'node:path';
import { TOKENIZER_FILE } from '@locmoe/run-format';
import { timeoutsOf } from '../config/timeouts.js';
import { asTrainerError, TrainerError } from '../errors.js';
import type {
  AgentEvent,
  Fault,
  Finished,
  JoinReply,
  JoinRequest,
  StatusReply,
} from '../rpc/generated/messages.js';
import type { RunListener } from '../run/run-listener.js';
import type { RunState } from '../run/run-state.js';
import { Admission } from './admission.js';
import { AgentEventRules, assertFault } from './agent-messages.js';
import { CheckpointCommitter } from './checkpoint-committer.js';
import type { CoordinatorOptions, RunFailure } from './coordinator-options.js';
import { DeadlineWatch } from './deadline-watch.js';
import { nodesGone, sendOn } from './departure.js';
import { FailureJudge } from './failure-judge.js';
import { Lifecycle } from './lifecycle.js';
import type { Member, SessionLink } from './member.js';
import { Membership } from './membership.js';
import { slowLink } from './planning/limits.js';
import { Reports } from './reports.js';
import { endUnknown, type ProcessEnd } from './root-cause.js';
import { TrainingProgress } from './training-progress.js';

/**
 * A generation of a run: its members, its state, the reports of its ranks. It knows nothing of gRPC (service.ts) or
 * terminals (its listeners).
 */
export class Coordinator {
  readonly #members: Membership;
  readonly #life: Lifecycle;
  readonly #admission: Admission;
  readonly #rules: AgentEventRules;
  readonly #judge: FailureJudge;
  readonly #progress: TrainingProgress;
  readonly #reports: Reports;
  readonly #committer: CheckpointCommitter;
  readonly #watch: DeadlineWatch;
  #stoppedEarly = false;
  #hasMissedNodes = false;
  #stopAsked: string | null = null;

  constructor(readonly options: CoordinatorOptions) {
    const { config } = options.identity;
    const { cluster } = config;
    const timeouts = timeoutsOf(cluster);
    this.#members = new Membership(options.identity.runId, cluster.nodes, timeouts, options.assertLeads);
    this.#rules = new AgentEventRules(config, options.identity.generation);
    this.#progress = new TrainingProgress({
      config,
      logger: options.logger,
      resumedStep: options.identity.resumedStep,
      hostOf: (node) => this.hostOf(node),
      trainedSeconds: options.trainedSeconds ?? 0,
      adopts: options.adopts ?? null,
    });
    this.#life = new Lifecycle({
      generation: options.identity.generation,
      members: this.#members,
      ranks: this.#progress.ranks,
      logger: options.logger,
      listeners: options.listeners,
      mayRestart: options.mayRestart,
      initial: { kind: options.adopts == null ? 'waiting' : 'running' },
      onChange: () => this.#watch.beginPhase(),
      onFailed: () => this.#committer.abandon(),
    });
    this.#admission = new Admission(options, this.#members, this.#life);
    this.#reports = new Reports(options, this.#members, this.#progress);
    this.#committer = this.#createCommitter();
    this.#watch = new DeadlineWatch({
      members: this.#members,
      ranks: this.#progress.ranks,
      logger: options.logger,
      timeouts,
      joinTimeoutMs: options.joinTimeoutMs,
      run: {
        state: () => this.state,
        canReplace: () => this.#admission.canReplace,
        free: (member, reason) => this.#admission.free(member, reason),
        lose: (member, end) => this.#lose(member, end),
        miss: (member) => this.#admission.miss(member, 'did not come back in time'),
        examine: ({ node, rank, reason }) =>
          this.#members.get(node).session?.send({ command: 'examine', examine: { rank, reason } }),
        fail: (error) => this.#life.fail({ error, culprit: null }),
        missNodes: (error) => {
          this.#hasMissedNodes = this.options.maySuffice?.(this.numConnected) ?? false;
          if (this.#hasMissedNodes) this.#life.apply({ type: 'failure', error, restarts: true });
          else if (options.nodesAreReplaceable) this.abort(error);
          // Those that this process started it can start again.
          else this.#life.fail({ error, culprit: null });
        },
      },
    });
    this.#judge = new FailureJudge({
      members: this.#members,
      numNodes: cluster.nodes,
      workersPerNode: cluster.workersPerNode,
      progress: this.#progress.ranks,
      slowLink: slowLink(cluster),
      lastStep: () => this.#progress.lastStep?.step,
      missedMs: () => this.#watch.missedMs,
      evidenceWindowMs: options.evidenceWindowMs,
      onVerdict: (cause) => this.#life.fail(cause),
    });
    if (options.adopts) this.#members.adopt(options.adopts.members);
  }

  /** Tells what the coordinator before this one has come to, if this one goes on with its generation. */
  announceAdoption(): void {
    const { adopts, logger } = this.options;
    if (!adopts) return;
    const text = `generation ${adopts.generation} goes on after step ${adopts.step}; waiting for its nodes to come back`;
    logger.info(text);
    this.#notify((each) => each.membership?.(text));
    this.#notify((each) => each.state?.(this.state));
    const { committed, isCommitRecorded } = adopts;
    if (committed !== null && !isCommitRecorded) this.#notify((each) => each.checkpoint?.(committed));
  }

  /** See Lifecycle. */
  get state(): RunState {
    return this.#life.state;
  }

  /** See Lifecycle. */
  get failure(): RunFailure | null {
    return this.#life.failure;
  }

  /** See Lifecycle. */
  get settled(): Promise<RunState> {
    return this.#life.settled;
  }

  /** True if it is over because not all nodes came in time, and those that did are enough. */
  get hasMissedNodes(): boolean {
    return this.#hasMissedNodes;
  }

  /** Ids of the nodes that have left in order, and join the next generation. */
  get nodesThatGoOn(): number[] {
    return this.#members.all.filter(({ isDone }) => isDone).map(({ node }) => node);
  }

  /** Nodes that are here. */
  get numConnected(): number {
    return this.#members.numConnected;
  }

  /** The name of a node's machine or container; null if it is not a member. */
  hostOf(node: number): string | null {
    return this.#members.all.find((member) => member.node === node)?.request.host ?? null;
  }

  /** See Admission. */
  join(request: JoinRequest): JoinReply {
    return this.#admission.join(request);
  }

  /** See Admission. */
  connect(node: number, dataAddress: string, session: SessionLink): void {
    this.#admission.connect(node, dataAddress, session);
  }

  /** See CoordinatorOptions. */
  get term(): number {
    return this.#admission.term;
  }

  /** A session ended: the node is lost, unless it said that it leaves. */
  disconnect(node: number, reason: string): void {
    const member = this.#members.get(node);
    member.session = null;
    if (this.#admission.canReplace) this.#admission.free(member, reason);
    else if (!member.isDone) this.#lose(member, endUnknown(reason));
  }

  /** A node agent on this machine ended; its exit says more than its broken session. */
  agentEnded(pid: number, end: ProcessEnd): void {
    const member = this.#members.all.find((each) => each.request.pid === pid);
    if (member?.status === 'lost') this.#judge.restate(member, end);
    else if (member !== undefined && !member.isDone) this.#lose(member, end);
    else if (this.state.kind === 'waiting')
      this.#life.fail({
        error: new TrainerError('NODE_LOST', `a node agent (pid ${pid}) ${end.how} before it had joined`),
        culprit: null,
      });
  }

  /**
   * Handles one event of a node's session; what cannot be recorded ends the run.
   *
   * @throws TrainerError `BAD_MESSAGE` for what no agent would send; nothing of it was taken
   */
  receive(node: number, event: AgentEvent): void {
    this.#rules.assertAllowed(event, node, this.state.kind);
    try {
      this.#receive(node, event);
    } catch (error) {
      if (error instanceof TrainerError && error.code === 'BAD_MESSAGE') throw error;
      this.abort(asTrainerError(error, { step: this.#progress.lastStep?.step }));
    }
  }

  #receive(node: number, event: AgentEvent): void {
    const member = this.#members.get(node);
    member.heardOfMs = performance.now();
    // Other events were on their way when the generation ended.
    if (this.#life.isOver && !['logs', 'failure', 'leaving'].includes(event.event)) return;
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
        this.options.snapshots?.add(node, event.snapshot);
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
        // A node that leaves before it is told to is lost once its session ends.
        if (!member.isDone && (this.#judge.hasBegun || !this.#life.isUnderWay)) member.become('left');
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
    if (!this.#members.allAre('ready')) return;
    this.#life.apply({ type: 'workers-ready' });
    this.#members.broadcast({ command: 'begin', begin: {} });
    if (this.#stopAsked !== null) this.requestStop(this.#stopAsked);
  }

  #finished(member: Member, { stoppedEarly }: Finished): void {
    if (member.hasReturned && member.isDone) return;
    member.become('finished');
    this.#stoppedEarly ||= stoppedEarly;
    if (this.#members.allAre('finished'))
      this.#life.apply({ type: 'all-finished', stoppedEarly: this.#stoppedEarly });
  }

  /**
   * Asks for a final checkpoint after this step, or after the first one if training has not begun. A run that
   * waits for nodes started elsewhere, which may never come, ends at once.
   */
  requestStop(reason: string): void {
    this.#stopAsked = reason;
    if (this.#admission.canReplace) this.#life.apply({ type: 'stopped-waiting', reason });
    this.#life.stop(reason, null);
  }

  /**
   * Fails the run for an unforeseen error in this process. A run that trains saves a last checkpoint first; a
   * second error, or a checkpoint that takes too long, fails it at once.
   */
  crash(error: TrainerError): void {
    this.#life.stop('error in the coordinator', error);
    if (this.state.kind !== 'stopping' || this.state.cause !== error) this.abort(error);
  }

  /** Ends the run at once, for good. */
  abort(error: TrainerError): void {
    this.#life.abort(error);
  }

  /** @throws TrainerError `BAD_INPUT` if the run does not allow it, or has no such node or rank */
  injectFault(fault: Fault): void {
    const { allowsFaults, identity, logger } = this.options;
    if (allowsFaults !== true)
      throw new TrainerError(
        'BAD_INPUT',
        `run ${identity.runId} takes no faults: it was started without --allow-faults`,
      );
    assertFault(fault, identity.config.cluster.workersPerNode);
    const { session } = this.#members.get(fault.node);
    if (session === null) throw new TrainerError('BAD_INPUT', `node ${fault.node} has no session`);
    logger.warn({ fault }, `a fault is injected on node ${fault.node}`);
    session.send({ command: 'fault', fault });
  }

  status(): StatusReply {
    const { identity } = this.options;
    return {
      runId: identity.runId,
      generation: identity.generation,
      state: this.state.kind,
      runDir: identity.runDir,
      ...this.#progress.status,
      nodes: this.#members.all.map(({ node, request: { host, pid } }) => ({ node, host, pid })),
      allowsFaults: this.options.allowsFaults === true,
    };
  }

  #notify(tell: (listener: RunListener) => void): void {
    for (const listener of this.options.listeners) tell(listener);
  }

  close(): void {
    this.#watch.close();
    this.#judge.close();
  }

  /** See departure.ts. */
  nodesGone(graceMs: number): Promise<void> {
    return nodesGone(this.#members, graceMs);
  }

  /** See departure.ts. */
  sendOn(graceMs: number): Promise<number[]> {
    return sendOn(this.#members, graceMs);
  }

  #createCommitter(): CheckpointCommitter {
    const { identity, logger, configured = identity.config } = this.options;
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
      tell: (command) => this.#members.broadcast(command),
      onCommit: (report) => {
        logger.info({ directory: report.directory }, 'checkpoint saved');
        this.#notify((each) => each.checkpoint?.(report));
      },
      onLeftover: (line) => logger.warn(line),
      onSkip: (line) => logger.warn(`${line}, the next try is in ${train.checkpointEvery} steps`),
      onFailure: (error) => this.#life.fail({ error, culprit: null }),
      committedBefore: this.options.adopts?.committed?.step ?? null,
      assertLeads: this.options.assertLeads,
    });
  }

  #lose(member: Member, end: ProcessEnd): void {
    // After a standstill, events may be handled before the watch's timer.
    this.#watch.forgiveStandstill();
    if (!this.#life.isOver) this.#judge.lose(member, end);
  }
}
