import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { TOKENIZER_FILE } from '../checkpoint/manifest.js';
import { timeoutsOf } from '../config/timeouts.js';
import { asTrainerError, TrainerError } from '../errors.js';
import type { AgentEvent, Fault, JoinReply, JoinRequest, StatusReply } from '../rpc/messages.js';
import type { GlobalStep } from '../run/global-step.js';
import type { RunListener } from '../run/run-listener.js';
import { isOver, type RunEvent, type RunState, transition } from '../run/run-state.js';
import { AgentEventRules, assertFault } from './agent-messages.js';
import { CheckpointCommitter } from './checkpoint-committer.js';
import type { CoordinatorOptions, RunFailure } from './coordinator-options.js';
import { DeadlineWatch } from './deadline-watch.js';
import { FailureJudge } from './failure-judge.js';
import { blamed } from './failure-report.js';
import type { Member, SessionLink } from './member.js';
import { Membership } from './membership.js';
import { type Culprit, endUnknown, type ProcessEnd, type RootCause } from './root-cause.js';
import { slowLink } from './slow-link.js';
import { TrainingProgress } from './training-progress.js';

const GONE_POLL_MS = 20;
/** Between two commands `recorded`. */
const RECORDED_MS = 200;

/**
 * A generation of a run: its members, its state, the reports of its ranks. It knows nothing of gRPC (service.ts) or
 * terminals (its listeners).
 */
export class Coordinator {
  readonly #members: Membership;
  readonly #rules: AgentEventRules;
  readonly #judge: FailureJudge;
  readonly #progress: TrainingProgress;
  readonly #committer: CheckpointCommitter;
  readonly #watch: DeadlineWatch;
  #state: RunState = { kind: 'waiting' };
  #stoppedEarly = false;
  #hasMissedNodes = false;
  #stopAsked: string | null = null;
  #recordedMs = Number.NEGATIVE_INFINITY;
  #failure: RunFailure | null = null;
  #settle!: (state: RunState) => void;

  /** Resolves when the generation is over: `finished`, `failed` or `restarting`. */
  readonly settled = new Promise<RunState>((resolve) => {
    this.#settle = resolve;
  });

  constructor(readonly options: CoordinatorOptions) {
    const { config } = options.identity;
    const { cluster } = config;
    const timeouts = timeoutsOf(cluster);
    this.#members = new Membership(options.identity.runId, cluster.nodes, timeouts, options.assertLeads);
    this.#rules = new AgentEventRules(config, options.identity.generation);
    this.#progress = new TrainingProgress({
      ...{ config, logger: options.logger, resumedStep: options.identity.resumedStep },
      hostOf: (node) => this.hostOf(node),
      trainedSeconds: options.trainedSeconds ?? 0,
      adopts: options.adopts ?? null,
    });
    this.#committer = this.#createCommitter();
    this.#watch = new DeadlineWatch({
      members: this.#members,
      ranks: this.#progress.ranks,
      logger: options.logger,
      timeouts,
      joinTimeoutMs: options.joinTimeoutMs,
      run: {
        state: () => this.#state,
        canReplace: () => this.#canReplace,
        free: (member, reason) => this.#free(member, reason),
        lose: (member, end) => this.#lose(member, end),
        miss: (member) => this.#miss(member, 'did not come back in time'),
        examine: ({ node, rank, reason }) =>
          this.#members.get(node).session?.send({ examine: { rank, reason } }),
        fail: (error) => this.#fail({ error, culprit: null }),
        missNodes: (error) => {
          this.#hasMissedNodes = this.options.maySuffice?.(this.numConnected) ?? false;
          if (this.#hasMissedNodes) this.#apply({ type: 'failure', error, restarts: true });
          else if (options.nodesAreReplaceable) this.abort(error);
          // Those that this process started it can start again.
          else this.#fail({ error, culprit: null });
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
      onVerdict: (cause) => this.#fail(cause),
    });
    if (options.adopts) {
      this.#state = { kind: 'running' };
      this.#members.adopt(options.adopts.members);
    }
  }

  /** Tells what the coordinator before this one has come to, if this one goes on with its generation. */
  announceAdoption(): void {
    const { adopts, logger } = this.options;
    if (!adopts) return;
    const text = `generation ${adopts.generation} goes on after step ${adopts.step}; waiting for its nodes to come back`;
    logger.info(text);
    this.#notify((each) => each.membership?.(text));
    this.#notify((each) => each.state?.(this.#state));
    const { committed } = adopts;
    if (committed !== null && !committed.isRecorded) this.#notify((each) => each.checkpoint?.(committed));
  }

  get state(): RunState {
    return this.#state;
  }

  /** Null unless the generation has failed. */
  get failure(): RunFailure | null {
    return this.#failure;
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

  /**
   * @throws TrainerError `RUN_FULL` if all places are taken or the run has started, `BAD_INPUT` if the node
   *   does not fit
   */
  join(request: JoinRequest): JoinReply {
    const { identity, logger } = this.options;
    const former = this.#members.awaited.find(
      ({ request: { host, pid } }) => host === request.host && pid === request.pid,
    );
    if (former !== undefined) this.#miss(former, 'has ended its workers');
    this.#assertWaiting(request.host);
    const { node } = this.#members.join(request);
    logger.info({ node, host: request.host, pid: request.pid }, `node ${node} joined`);
    return {
      runId: identity.runId,
      generation: identity.generation,
      node,
      configJson: JSON.stringify(identity.config),
      runDir: identity.runDir,
      datasetDir: identity.datasetDir,
      resumeFrom: identity.resumeFrom ?? '',
      initFrom: identity.initFrom ?? '',
      inheritance: identity.inheritance ?? null,
      term: this.term,
    };
  }

  /** See CoordinatorOptions. */
  get term(): number {
    return this.options.term ?? 1;
  }

  /** Opens a member's session; when every node has one, all are told to start. */
  connect(node: number, dataAddress: string, session: SessionLink): void {
    const member = this.#members.get(node);
    const { host } = member.request;
    if (member.isAwaited) {
      this.#reconnect(node, dataAddress, session);
      return;
    }
    this.#assertWaiting(host);
    this.#members.connect(node, dataAddress, session);
    const { numConnected, numNodes } = this.#members;
    this.#notify((each) =>
      each.membership?.(`node ${node} joined from ${host} (${numConnected} of ${numNodes})`),
    );
    if (!this.#members.allAre('connected')) return;
    const members = this.#members.all.map(({ node, request: { host, pid, dataAddress } }) => ({
      ...{ node, host, pid, dataAddress },
    }));
    this.#notify((each) => each.members?.(members));
    this.#apply({ type: 'nodes-complete' });
    const { snapshot = null } = this.options.identity;
    this.#members.broadcast({ start: { peers: this.#members.peers, snapshot } });
  }

  /** Opens the session of a member that trains. */
  #reconnect(node: number, dataAddress: string, session: SessionLink): void {
    this.#members.reconnect(node, dataAddress, session);
    // The coordinator before this one may have fallen between its word and theirs.
    session.send({ begin: {} });
    const { numConnected, numNodes } = this.#members;
    this.#notify((each) => each.membership?.(`node ${node} is back (${numConnected} of ${numNodes})`));
  }

  /** A member that trained, and was to open a session again, cannot: the generation has to begin anew. */
  #miss({ node, request }: Member, what: string): void {
    const message = `node agent on ${request.host} (pid ${request.pid}) ${what} after the coordinator was replaced`;
    this.#apply({ type: 'failure', error: new TrainerError('NODE_LOST', message, { node }), restarts: true });
  }

  #assertWaiting(host: string): void {
    const isIncomplete =
      this.#isUnderWay && this.#members.all.some(({ isDone, session }) => !isDone && session === null);
    if (this.#state.kind === 'restarting' || isIncomplete)
      throw new TrainerError('UNAVAILABLE', `run ${this.options.identity.runId} is about to restart`);
    if (this.#state.kind !== 'waiting')
      throw new TrainerError(
        'RUN_FULL',
        `run ${this.options.identity.runId} is ${this.#state.kind} with its ${this.#members.numNodes} nodes; the one on ${host} comes too late: nodes join before the start`,
      );
  }

  /** A session ended: the node is lost, unless it said that it leaves. */
  disconnect(node: number, reason: string): void {
    const member = this.#members.get(node);
    member.session = null;
    if (this.#canReplace) this.#free(member, reason);
    else if (!member.isDone) this.#lose(member, endUnknown(reason));
  }

  get #isUnderWay(): boolean {
    return ['starting', 'running', 'stopping'].includes(this.#state.kind);
  }

  get #canReplace(): boolean {
    return this.options.nodesAreReplaceable && this.#state.kind === 'waiting';
  }

  /** A node that is gone before the start frees its place for another. */
  #free({ node, request }: Member, reason: string): void {
    this.#members.remove(node);
    const text = `node ${node} on ${request.host} (pid ${request.pid}) left before the start: ${reason}; its place is free again`;
    this.options.logger.info({ node, host: request.host }, text);
    this.#notify((each) => each.membership?.(text));
  }

  /** A node agent on this machine ended; its exit says more than its broken session. */
  agentEnded(pid: number, end: ProcessEnd): void {
    const member = this.#members.all.find((each) => each.request.pid === pid);
    if (member?.status === 'lost') this.#judge.restate(member, end);
    else if (member !== undefined && !member.isDone) this.#lose(member, end);
    else if (this.#state.kind === 'waiting')
      this.#fail({
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
    this.#rules.assertAllowed(event, node, this.#state.kind);
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
    if ('logs' in event) {
      const { lines, dropped } = event.logs;
      this.options.logs.appendAll(`node-${node}`, lines);
      if (dropped > 0) this.options.logger.warn({ node, dropped }, `node ${node} dropped log lines`);
      this.#notify((each) => each.logLines?.(node, { kept: lines.length, dropped }));
    } else if (isOver(this.#state) && !('failure' in event || 'leaving' in event)) {
      // It was on its way when the generation ended.
    } else if ('heartbeat' in event) {
      this.#progress.ranks.update(event.heartbeat.workers);
      const { snapshot } = this.#progress;
      this.#notify((each) => each.heartbeat?.(node, event.heartbeat, snapshot));
    } else if ('step' in event) {
      if (member.hasReturned && this.#progress.has(event.step)) return;
      const step = this.#progress.add(event.step);
      this.#notify((each) => each.rankStep?.(event.step));
      if (step !== null) this.#takeStep(step);
    } else if ('validation' in event) {
      const isNew = this.#progress.validate(event.validation.step);
      if (member.hasReturned && !isNew) return;
      this.#notify((each) => each.validation?.(event.validation));
    } else if ('saving' in event) {
      this.#committer.announce(event.saving, member.hasReturned);
    } else if ('snapshot' in event) {
      this.options.snapshots?.add(node, event.snapshot);
    } else if ('shards' in event) {
      this.#committer.receive(event.shards, member.hasReturned);
    } else if ('failure' in event) {
      const { failure } = event;
      const { rank, step } = failure;
      this.options.logger.error(
        { node, rank, step: step < 0 ? undefined : step, failure },
        `rank ${rank} failed: ${failure.message}`,
      );
      this.#judge.fail(failure);
    } else if ('stop' in event) {
      this.requestStop(event.stop.reason);
    } else if ('ready' in event) {
      if (member.status !== 'connected') return;
      member.become('ready');
      if (this.#members.allAre('ready')) {
        this.#apply({ type: 'workers-ready' });
        this.#members.broadcast({ begin: {} });
        if (this.#stopAsked !== null) this.requestStop(this.#stopAsked);
      }
    } else if ('leaving' in event) {
      // A node that leaves before it is told to is lost once its session ends.
      if (!member.isDone && (this.#judge.hasBegun || !this.#isUnderWay)) member.become('left');
    } else if ('finished' in event) {
      if (member.hasReturned && member.isDone) return;
      member.become('finished');
      this.#stoppedEarly ||= event.finished.stoppedEarly;
      if (this.#members.allAre('finished'))
        this.#apply({ type: 'all-finished', stoppedEarly: this.#stoppedEarly });
    }
  }

  /**
   * Asks for a final checkpoint after this step, or after the first one if training has not begun. A run that
   * waits for nodes started elsewhere, which may never come, ends at once.
   */
  requestStop(reason: string): void {
    this.#stopAsked = reason;
    if (this.#canReplace) this.#apply({ type: 'stopped-waiting' });
    this.#stop(reason, null);
  }

  /**
   * Fails the run for an unforeseen error in this process. A run that trains saves a last checkpoint first; a
   * second error, or a checkpoint that takes too long, fails it at once.
   */
  crash(error: TrainerError): void {
    this.#stop('error in the coordinator', error);
    if (this.#state.kind !== 'stopping' || this.#state.cause !== error) this.abort(error);
  }

  /** Ends the run at once, for good. */
  abort(error: TrainerError): void {
    this.#apply({ type: 'failure', error, restarts: false });
  }

  /** Ends the generation, and with it the run unless it may restart. */
  #fail({ error, culprit }: RootCause): void {
    if (isOver(this.#state)) return;
    const restarts = this.options.mayRestart?.(this.#failureOf(error, culprit), this.#state) ?? false;
    this.#apply({ type: 'failure', error, restarts }, culprit);
  }

  #failureOf(error: TrainerError, culprit: Culprit | null): RunFailure {
    return { timeMs: Date.now(), error, culprit, ranks: this.#progress.ranks.views };
  }

  #stop(reason: string, cause: TrainerError | null): void {
    if (!this.#apply({ type: 'stop', reason, cause })) return;
    this.options.logger.info({ reason }, `stopping after this step: ${reason}`);
    this.#members.broadcast({ stop: { reason } });
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
    session.send({ fault });
  }

  status(): StatusReply {
    const { identity } = this.options;
    return {
      runId: identity.runId,
      generation: identity.generation,
      state: this.#state.kind,
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

  /**
   * Waits up to `graceMs` for the nodes that still answer to send their last log lines and end their
   * sessions.
   */
  async nodesGone(graceMs: number): Promise<void> {
    const deadline = performance.now() + graceMs;
    while (this.#members.answering.length > 0 && performance.now() < deadline) await sleep(GONE_POLL_MS);
  }

  /**
   * Waits up to `graceMs` for the nodes that still answer to end their workers, and tells them to join the next
   * generation.
   *
   * @returns pids of the agents that come; the others are no longer of the run
   */
  async sendOn(graceMs: number): Promise<number[]> {
    const deadline = performance.now() + graceMs;
    while (this.#members.answering.some(({ isDone }) => !isDone) && performance.now() < deadline)
      await sleep(GONE_POLL_MS);
    for (const { isDone, session } of this.#members.all)
      if (isDone) session?.send({ rejoin: {} });
      else session?.close();
    return this.#members.all.filter(({ isDone }) => isDone).map(({ request }) => request.pid);
  }

  #createCommitter(): CheckpointCommitter {
    const { identity, logger, configured = identity.config } = this.options;
    const { runId, generation, runDir, datasetDir } = identity;
    const { cluster, train } = identity.config;
    return new CheckpointCommitter({
      run: {
        ...{ runId, generation, config: configured, root: path.join(runDir, 'checkpoints') },
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
      onFailure: (error) => this.#fail({ error, culprit: null }),
      committedBefore: this.options.adopts?.committed?.step ?? null,
      assertLeads: this.options.assertLeads,
    });
  }

  /** Why the generation is over, where queries of a rank or a step find it. */
  #logVerdict({ error, culprit }: RunFailure, kind: 'failed' | 'restarting'): void {
    const what = kind === 'failed' ? 'the run' : `generation ${this.options.identity.generation}`;
    const { exitCode = null, signal = null, pid = null } = culprit ?? {};
    this.options.logger.error(
      { ...blamed({ error, culprit }), code: error.code, pid, exitCode, signal },
      `${what} failed: ${error.line}`,
    );
    this.options.logger[kind === 'failed' ? 'error' : 'info']({ state: kind }, `run is ${kind}`);
  }

  #takeStep(step: GlobalStep): void {
    this.options.snapshots?.stepped();
    this.#progress.complete(step);
    const { snapshot } = this.#progress;
    this.#notify((each) => each.step?.(step, snapshot));
    const now = performance.now();
    if (now - this.#recordedMs < RECORDED_MS) return;
    this.#recordedMs = now;
    this.#members.broadcast({ recorded: { step: step.step } });
  }

  #lose(member: Member, end: ProcessEnd): void {
    // After a standstill, events may be handled before the watch's timer.
    this.#watch.forgiveStandstill();
    if (!isOver(this.#state)) this.#judge.lose(member, end);
  }

  /**
   * @param culprit of a failure
   * @returns whether the state changed
   */
  #apply(event: RunEvent, culprit: Culprit | null = null): boolean {
    const before = this.#state;
    this.#state = transition(before, event);
    if (this.#state === before) return false;
    this.#watch.beginPhase();
    if (this.#state.kind === 'failed' || this.#state.kind === 'restarting') {
      const { kind, error } = this.#state;
      const isCause = event.type === 'failure' && event.error === error;
      this.#failure = this.#failureOf(error, isCause ? culprit : null);
      this.#logVerdict(this.#failure, kind);
      // After a last checkpoint there is nothing to abort.
      if (!this.#members.allAre('finished')) this.#members.broadcast({ abort: { reason: error.line } });
      if (kind === 'failed') this.#members.broadcast({ farewell: {} });
      this.#committer.abandon();
      this.#settle(this.#state);
    } else {
      this.options.logger.info({ state: this.#state.kind }, `run is ${this.#state.kind}`);
      if (this.#state.kind === 'finished') {
        this.#members.broadcast({ farewell: {} });
        this.#settle(this.#state);
      }
    }
    // Last: a listener that throws must not keep a run from ending.
    try {
      this.#notify((each) => each.state?.(this.#state));
    } catch (error) {
      this.abort(asTrainerError(error));
    }
    return true;
  }
}
