import type { RunConfig } from '../config/schema.js';
import { asTrainerError, TrainerError } from '../errors.js';
import type { LogStore } from '../observability/log-store.js';
import type { Logger } from '../observability/logger.js';
import { classicCapacity } from '../routing/capacity.js';
import type {
  AgentEvent,
  CheckpointReport,
  JoinReply,
  JoinRequest,
  StatusReply,
  ValidationReport,
  WorkerFailure,
  WorkerProgress,
} from '../rpc/messages.js';
import { type Member, Membership, type SessionLink } from './membership.js';
import { rootCause } from './root-cause.js';
import { type RunEvent, type RunState, transition } from './run-state.js';
import { type GlobalStep, StepAggregator } from './step-aggregator.js';
import { Throughput } from './throughput.js';

/** What is fixed for the whole of a run. */
export interface RunIdentity {
  readonly runId: string;
  readonly generation: number;
  readonly config: RunConfig;
  readonly runDir: string;
  readonly datasetDir: string;
  /** Folder of the checkpoint to start from; null for a new run. */
  readonly resumeFrom: string | null;
}

/** Told of everything that happens in a run, as it happens. */
export interface RunListener {
  state?(state: RunState): void;
  step?(step: GlobalStep): void;
  validation?(report: ValidationReport): void;
  checkpoint?(report: CheckpointReport): void;
}

export interface CoordinatorOptions {
  readonly identity: RunIdentity;
  readonly logs: LogStore;
  readonly logger: Logger;
  readonly listener: RunListener;
}

/** What capacities are compared with in a run that has no capacity factor: the baseline of LocMoE+ (arXiv 2406.00023). */
const REFERENCE_CAPACITY_FACTOR = 1.1;

const HEARTBEAT_TIMEOUT_MS = 15_000;
const JOIN_TIMEOUT_MS = 60_000;
const START_TIMEOUT_MS = 120_000;
/** A start that takes longer than this is worth a word. */
const SLOW_START_MS = 10_000;
/** A node not heard of for this long when something fails is itself the suspect. */
const SILENT_MS = 3_000;
/** How long the other ranks' accounts are waited for after a first failure. */
const EVIDENCE_WINDOW_MS = 2_500;
const WATCH_INTERVAL_MS = 500;
const SUSPENDED_MS = 2_000;

/**
 * The run: who is a member, what state it is in, what its ranks report. It knows nothing of gRPC (service.ts) or of
 * terminals (the listener).
 */
export class Coordinator {
  readonly #members: Membership;
  readonly #failures: WorkerFailure[] = [];
  readonly #progress = new Map<number, WorkerProgress>();
  readonly #steps: StepAggregator;
  readonly #throughput: Throughput;
  readonly #watch: NodeJS.Timeout;
  #phaseStartedMs = performance.now();
  #watchedMs = performance.now();
  #slowStartTold = false;
  #verdict: NodeJS.Timeout | null = null;
  #state: RunState = { kind: 'waiting' };
  #lost: { readonly member: Member; readonly reason: string } | null = null;
  #stoppedEarly = false;
  #stopAsked: string | null = null;
  #lastStep: GlobalStep | null = null;
  #settle!: (state: RunState) => void;

  /** Resolves when the run is `finished` or `failed`. */
  readonly settled = new Promise<RunState>((resolve) => {
    this.#settle = resolve;
  });

  constructor(readonly options: CoordinatorOptions) {
    const { cluster, train, model, moe } = options.identity.config;
    this.#members = new Membership(options.identity.runId, cluster.nodes);
    this.#steps = new StepAggregator(
      cluster.nodes * cluster.workersPerNode,
      classicCapacity(
        moe.capacityFactor ?? REFERENCE_CAPACITY_FACTOR,
        train.globalBatch * model.seqLen,
        1,
        moe.numExperts,
      ),
    );
    this.#throughput = new Throughput(train.steps);
    this.#watch = setInterval(() => this.#checkDeadlines(), WATCH_INTERVAL_MS);
  }

  get state(): RunState {
    return this.#state;
  }

  get lastStep(): GlobalStep | null {
    return this.#lastStep;
  }

  /** @throws TrainerError `BAD_INPUT` if all places are taken or the run has started */
  join(request: JoinRequest): JoinReply {
    const { identity, logger } = this.options;
    const { node } = this.#members.join(request);
    this.#assertWaiting();
    logger.info({ node, host: request.host, pid: request.pid }, `node ${node} joined`);
    return {
      runId: identity.runId,
      generation: identity.generation,
      node,
      configJson: JSON.stringify(identity.config),
      runDir: identity.runDir,
      datasetDir: identity.datasetDir,
      resumeFrom: identity.resumeFrom ?? '',
    };
  }

  /** Takes a member's session; when the last node has one, all are told to start. */
  connect(node: number, session: SessionLink): void {
    this.#members.connect(node, session);
    this.#assertWaiting();
    if (!this.#members.allAre('connected')) return;
    this.#apply({ type: 'nodes-complete' });
    this.#members.broadcast({ start: { peers: this.#members.peers } });
  }

  #assertWaiting(): void {
    if (this.#state.kind !== 'waiting')
      throw new TrainerError(
        'BAD_INPUT',
        `run ${this.options.identity.runId} is ${this.#state.kind}: nodes join before it starts`,
      );
  }

  /** A session ended; of a node that did not say that it leaves, that is a loss. */
  disconnect(node: number, reason: string): void {
    const member = this.#members.get(node);
    member.session = null;
    if (member.status !== 'finished' && member.status !== 'left') this.#lose(member, reason);
  }

  /** The process of a node agent on this machine ended, which says more than its broken session. */
  agentEnded(pid: number, how: string): void {
    const member = this.#members.all.find((each) => each.request.pid === pid);
    if (member?.status === 'lost') this.#lost = { member, reason: how };
    else if (member !== undefined && member.status !== 'finished' && member.status !== 'left')
      this.#lose(member, how);
    else if (this.#state.kind === 'waiting')
      this.abort(new TrainerError('NODE_LOST', `a node agent (pid ${pid}) ${how} before it had joined`));
  }

  /** Takes one event of a node's session; what cannot be recorded (a full disk, say) ends the run. */
  receive(node: number, event: AgentEvent): void {
    try {
      this.#receive(node, event);
    } catch (error) {
      this.abort(asTrainerError(error, { step: this.#lastStep?.step }));
    }
  }

  #receive(node: number, event: AgentEvent): void {
    const member = this.#members.get(node);
    member.heardOfMs = performance.now();
    if ('logs' in event) {
      for (const line of event.logs.lines) this.options.logs.append(`node-${node}`, line);
      if (event.logs.dropped > 0)
        this.options.logger.warn({ node, dropped: event.logs.dropped }, `node ${node} dropped log lines`);
    } else if ('heartbeat' in event) {
      for (const worker of event.heartbeat.workers) this.#progress.set(worker.rank, worker);
    } else if ('step' in event) {
      const step = this.#steps.add(event.step);
      if (step !== null) this.#takeStep(step);
    } else if ('validation' in event) {
      this.options.listener.validation?.(event.validation);
    } else if ('checkpoint' in event) {
      this.options.listener.checkpoint?.(event.checkpoint);
    } else if ('failure' in event) {
      this.#fail(event.failure);
    } else if ('stop' in event) {
      this.requestStop(event.stop.reason);
    } else if ('ready' in event) {
      member.status = 'ready';
      if (this.#members.allAre('ready')) {
        this.#apply({ type: 'workers-ready' });
        this.#members.broadcast({ begin: {} });
        if (this.#stopAsked !== null) this.requestStop(this.#stopAsked);
      }
    } else if ('leaving' in event) {
      if (member.status !== 'finished') member.status = 'left';
    } else if ('finished' in event) {
      member.status = 'finished';
      this.#stoppedEarly ||= event.finished.stoppedEarly;
      if (this.#members.allAre('finished'))
        this.#apply({ type: 'all-finished', stoppedEarly: this.#stoppedEarly });
    }
  }

  /** Asks for a final checkpoint at the next step boundary; before training has begun, it is asked for then. */
  requestStop(reason: string): void {
    this.#stopAsked = reason;
    if (this.#state.kind !== 'running') return;
    this.options.logger.info({ reason }, `stopping after this step: ${reason}`);
    this.#apply({ type: 'stop', reason });
    this.#members.broadcast({ stop: { reason } });
  }

  /** Ends the run at once. */
  abort(error: TrainerError): void {
    this.#apply({ type: 'failure', error });
  }

  status(): StatusReply {
    const { identity } = this.options;
    const last = this.#lastStep;
    return {
      runId: identity.runId,
      generation: identity.generation,
      state: this.#state.kind,
      runDir: identity.runDir,
      step: last?.step ?? 0,
      steps: identity.config.train.steps,
      loss: last?.loss ?? 0,
      tokensPerS: this.#throughput.tokensPerS,
      secondsLeft: this.#throughput.secondsLeft,
      workers: [...this.#progress.values()].sort((a, b) => a.rank - b.rank),
    };
  }

  close(): void {
    clearInterval(this.#watch);
    if (this.#verdict !== null) clearTimeout(this.#verdict);
  }

  #takeStep(step: GlobalStep): void {
    this.#lastStep = step;
    this.#throughput.add(step.step, step.tokens);
    this.options.listener.step?.(step);
  }

  /** Keeps a rank's account of what went wrong. */
  #fail(failure: WorkerFailure): void {
    this.#failures.push(failure);
    this.options.logger.error({ failure, rank: failure.rank }, failure.message);
    this.#collectEvidence(`rank ${failure.rank}: ${failure.message}`);
  }

  #lose(member: Member, reason: string): void {
    if (member.status === 'lost' || this.#state.kind === 'finished' || this.#state.kind === 'failed') return;
    member.status = 'lost';
    this.#lost ??= { member, reason };
    this.#collectEvidence(`node ${member.node} was lost: ${reason}`);
  }

  /** On the first sign of trouble tells everyone to stop; judges once all ranks were heard or the window is over. */
  #collectEvidence(reason: string): void {
    if (this.#verdict === null) {
      this.#members.broadcast({ abort: { reason } });
      this.#verdict = setTimeout(() => this.#judge(), EVIDENCE_WINDOW_MS);
    }
    const { workersPerNode } = this.options.identity.config.cluster;
    const accounted = new Set(this.#failures.map(({ rank }) => rank));
    for (const { node, status } of this.#members.all)
      if (status === 'lost')
        for (let local = 0; local < workersPerNode; local++) accounted.add(node * workersPerNode + local);
    if (accounted.size === this.#steps.worldSize) this.#judge();
  }

  #judge(): void {
    this.#apply({
      type: 'failure',
      error: rootCause({
        failures: this.#failures,
        lostNode: this.#lostNode(),
        worldSize: this.#steps.worldSize,
        workersPerNode: this.options.identity.config.cluster.workersPerNode,
        progress: this.#progress,
      }),
    });
  }

  /** The node whose agent is gone, or silent although its peers only saw a broken stream. */
  #lostNode(): TrainerError | null {
    const [silent] = this.#members.silentFor(SILENT_MS);
    const lost = this.#lost ?? (silent && { member: silent, reason: 'it does not answer' });
    if (!lost) return null;
    const { host, pid } = lost.member.request;
    return new TrainerError('NODE_LOST', `node agent on ${host} (pid ${pid}) was lost: ${lost.reason}`, {
      node: lost.member.node,
      step: this.#lastStep?.step,
    });
  }

  /** A watch that comes late was stopped itself, with the machine or by a signal: nobody else is to blame for that. */
  #forgiveSuspension(now: number): void {
    const lateMs = now - this.#watchedMs - WATCH_INTERVAL_MS;
    this.#watchedMs = now;
    if (lateMs < SUSPENDED_MS) return;
    this.#phaseStartedMs += lateMs;
    this.#members.forgive(lateMs);
  }

  #checkDeadlines(): void {
    const now = performance.now();
    this.#forgiveSuspension(now);
    const inPhaseMs = now - this.#phaseStartedMs;
    if (this.#state.kind === 'waiting' && inPhaseMs > JOIN_TIMEOUT_MS) {
      const here = this.#members.all.filter(({ session }) => session !== null).length;
      this.#abortStart(
        `${here} of ${this.#members.numNodes} nodes joined within ${JOIN_TIMEOUT_MS / 1000} s`,
      );
    }
    if (this.#state.kind === 'starting' && inPhaseMs > SLOW_START_MS && !this.#slowStartTold) {
      this.#slowStartTold = true;
      this.options.logger.warn(
        `workers are not ready after ${SLOW_START_MS / 1000} s: ${this.#describeLate()}`,
      );
    }
    if (this.#state.kind === 'starting' && inPhaseMs > START_TIMEOUT_MS) {
      this.#abortStart(`workers were not ready within ${START_TIMEOUT_MS / 1000} s: ${this.#describeLate()}`);
    }
    for (const member of this.#members.silentFor(HEARTBEAT_TIMEOUT_MS))
      this.#lose(member, `no heartbeat for ${HEARTBEAT_TIMEOUT_MS / 1000} s`);
  }

  /** Workers of the nodes that are not ready, and those among them that are stopped. */
  #describeLate(): string {
    const { workersPerNode } = this.options.identity.config.cluster;
    return this.#members.all
      .filter((member) => member.status === 'connected')
      .map(({ node }) => {
        const stopped = [...this.#progress.values()]
          .filter(
            (worker) => Math.floor(worker.rank / workersPerNode) === node && worker.processState === 'T',
          )
          .map((worker) => `rank ${worker.rank} (pid ${worker.pid}) is stopped`);
        return [`node ${node} is still loading`, ...stopped].join(', ');
      })
      .join('; ');
  }

  #abortStart(message: string): void {
    this.abort(new TrainerError('NODE_LOST', message));
  }

  #apply(event: RunEvent): void {
    const before = this.#state;
    this.#state = transition(before, event);
    if (this.#state === before) return;
    this.#phaseStartedMs = performance.now();
    this.options.logger.info({ state: this.#state.kind }, `run is ${this.#state.kind}`);
    if (this.#state.kind === 'failed') {
      this.#members.broadcast({ abort: { reason: this.#state.error.line } });
      this.#settle(this.#state);
    } else if (this.#state.kind === 'finished') {
      this.#members.broadcast({ farewell: {} });
      this.#settle(this.#state);
    }
    // Last: a listener that fails must not keep a run from ending.
    try {
      this.options.listener.state?.(this.#state);
    } catch (error) {
      this.abort(asTrainerError(error));
    }
  }
}
