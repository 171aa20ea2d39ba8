import type { RankProgress } from '../collectives/control-block.js';
import type { RunConfig } from '../config/schema.js';
import { GRACE, type Timeouts, timeoutsOf } from '../config/timeouts.js';
import { asTrainerError, type ErrorCode, EXIT, TrainerError } from '../errors.js';
import { createLogger, type Logger } from '../logger.js';
import type { CoordinatorClient } from '../rpc/coordinator-client.js';
import type {
  AgentEvent,
  CoordinatorCommand,
  Examine,
  Fault,
  JoinReply,
  Peer,
  SnapshotRef,
  Start,
} from '../rpc/generated/messages.js';
import type { RpcServer } from '../rpc/server.js';
import { abortReason, becauseOf } from '../run/abort-reason.js';
import { assertSharedFolders, assignmentsOf } from './assignments.js';
import { DataPlane } from './data-plane.js';
import { type Decision, PendingDecision } from './decision.js';
import type { FaultyLink } from './faulty-link.js';
import { FlightRecorder } from './flight-recorder.js';
import { LastingSession } from './lasting-session.js';
import { LogShipper } from './log-shipper.js';
import type { NodeSnapshots } from './node-snapshots.js';
import { NodeWorkers } from './node-workers.js';
import { TraceRecorder } from './trace-recorder.js';
import { type WorkerFault, workerFailure } from './worker-failure.js';
import type { WorkerStream } from './worker-pool.js';

export interface NodeAgentOptions {
  readonly join: JoinReply;
  /** host:port at which the peers reach this node. */
  readonly dataAddress: string;
  /** Serves the peers. */
  readonly rpc: RpcServer;
  readonly client: CoordinatorClient;
  /** Of this node over all generations; none without. */
  readonly snapshots?: NodeSnapshots | null;
  readonly logToStdout: boolean;
  /** Goes on without a coordinator for `cluster.coordinatorTimeoutS`; false if left out. */
  readonly outlivesCoordinator?: boolean;
  /** For injected faults; null or left out where they are not allowed. */
  readonly link?: FaultyLink | null;
  /** What each worker process runs; the trainer's own program by default. */
  readonly workerProgram?: URL;
  /** How long workers have after an abort to report and exit before they are killed. */
  readonly abortGraceMs?: number;
}

/**
 * How a node's part in a generation ended: it is to join the next one; or to look whether there is a next one, for
 * `cluster.coordinatorTimeoutS`; or to end with an exit code.
 */
export type NodeEnd = Exclude<Decision, 'end'> | number;

/**
 * One node of a run: carries out the coordinator's commands with its workers (NodeWorkers) and its data plane
 * (DataPlane). Lifecycle: joined; `start` creates the segment, starts the workers and connects to the peers;
 * `begin`; then either all workers finish and the coordinator says farewell, or anything fails anywhere, all is torn
 * down, and the coordinator says farewell or that the run goes on. It never blocks: the workers' progress is read
 * from the segment.
 */
export class NodeAgent {
  readonly #options: NodeAgentOptions;
  readonly #config: RunConfig;
  readonly #timeouts: Timeouts;
  readonly #logger: Logger;
  readonly #shipper = new LogShipper();
  readonly #session: LastingSession;
  readonly #workers: NodeWorkers;
  readonly #flight: FlightRecorder;
  readonly #trace: TraceRecorder;
  readonly #heartbeat: NodeJS.Timeout;
  /** By rank. */
  readonly #failed = new Map<number, ErrorCode>();
  readonly #firstRank: number;
  readonly #snapshotDir: string | null;
  #plane: DataPlane | null = null;
  #started = false;
  #leaving: Promise<void> | null = null;
  #resolveEnded!: (end: NodeEnd) => void;
  readonly #decision = new PendingDecision();

  /** Resolves once everything of this node is gone. */
  readonly ended = new Promise<NodeEnd>((resolve) => {
    this.#resolveEnded = resolve;
  });

  constructor(options: NodeAgentOptions) {
    this.#options = options;
    const { client, rpc, dataAddress, workerProgram } = options;
    const { runId, generation, node, runDir, configJson, term } = options.join;
    this.#config = JSON.parse(configJson);
    this.#timeouts = timeoutsOf(this.#config.cluster);
    const { nodes: numNodes, workersPerNode } = this.#config.cluster;
    this.#firstRank = node * workersPerNode;
    this.#logger = createLogger({
      level: this.#config.logLevel,
      origin: { run: runId, generation, node },
      destination: { write: (line) => this.#log(line.trimEnd()) },
    });
    const place = { runId, generation, node, numNodes, workersPerNode };
    this.#trace = new TraceRecorder({
      directory: `${runDir}/trace`,
      ...place,
      onError: (error) =>
        this.#logger.warn(`no further timelines of steps: ${asTrainerError(error).message}`),
    });
    this.#flight = new FlightRecorder({
      directory: `${runDir}/flight`,
      ...place,
      onError: (error) => this.#logger.warn(`no flight file: ${asTrainerError(error).message}`),
    });
    this.#workers = new NodeWorkers(
      {
        line: (rank, line, stream) => this.#onWorkerLine(rank, line, stream),
        report: (event) => this.#onReport(event),
        snapshot: (report) => this.#options.snapshots?.add(report),
        failed: (fault) => this.#fail(fault),
        finished: (stoppedEarly) => this.#session.send({ event: 'finished', finished: { stoppedEarly } }),
      },
      workerProgram,
    );
    this.#snapshotDir = this.#beginSnapshots();
    rpc.onRefused = (line) => this.#logger.warn(line);
    this.#session = new LastingSession({
      client,
      member: { runId, generation, node, dataAddress, term },
      waitMs: options.outlivesCoordinator === true ? 1000 * this.#config.cluster.coordinatorTimeoutS : 0,
      link: options.link,
      listener: {
        command: (command) => this.#onCommand(command),
        lost: (reason) => this.#onLost(reason),
        returned: () => this.#logger.warn('a coordinator is there again'),
        refused: (reason) => this.#lookElsewhere(reason),
        ended: (reason) => this.#leaveAlone(`the coordinator is gone: ${reason}`),
      },
    });
    this.#shipper.connect({
      isReady: () => this.#session.isReady,
      send: (lines, dropped) => this.#session.send({ event: 'logs', logs: { lines, dropped } }),
    });
    this.#heartbeat = setInterval(() => {
      this.#workers.lookForOomKills();
      this.#sendHeartbeat();
    }, this.#timeouts.heartbeatMs);
    this.#sendHeartbeat();
  }

  /** Asks the coordinator to end the run; before the run has started, just leaves it. */
  requestStop(reason: string): void {
    if (this.#started)
      this.#session.send({ event: 'stop', stop: { reason: `${reason} on node ${this.#options.join.node}` } });
    else {
      this.#decision.make('end');
      void this.#leave(null);
    }
  }

  /** False while the run waits for its other nodes. */
  get hasStarted(): boolean {
    return this.#started;
  }

  #onCommand(command: CoordinatorCommand): void {
    switch (command.command) {
      case 'start':
        void this.#start(command.start);
        break;
      case 'begin':
        this.#workers.begin();
        break;
      case 'writeShards':
        this.#workers.save({ type: 'write-shards', ...command.writeShards });
        break;
      case 'saveEnded':
        this.#workers.save({ type: 'save-ended', ...command.saveEnded });
        break;
      case 'stop':
        this.#plane?.requestStop();
        break;
      case 'examine':
        void this.#examine(command.examine);
        break;
      case 'abort':
        void this.#leave(command.abort.reason);
        break;
      case 'rejoin':
        this.#decision.make('rejoin');
        void this.#leave('the run goes on with another generation');
        break;
      case 'farewell':
        this.#decision.make('end');
        void this.#leave(null);
        break;
      case 'fault':
        this.#inflict(command.fault);
        break;
      case 'recorded':
        // The outbox has heard it.
        break;
      default:
        command satisfies never;
    }
  }

  #inflict(fault: Fault): void {
    const { link } = this.#options;
    if (link == null) this.#logger.warn('a fault is refused: this node was started without --allow-faults');
    else if (fault.fault === 'link') link.inflict(fault.link);
    else this.#workers.armFailpoint(fault.failpoint);
  }

  async #start({ peers, snapshot }: Start): Promise<void> {
    if (this.#started || this.#leaving !== null) return;
    this.#started = true;
    const { node } = this.#options.join;
    try {
      assertSharedFolders(this.#options.join);
      this.#plane = this.#createDataPlane();
      this.#trace.begin(this.#plane);
      const resumeFrom = await this.#restore(peers, snapshot);
      if (this.#isLeaving) return;
      const { segmentPath } = this.#plane;
      const own = { segmentPath, snapshotDir: this.#snapshotDir, resumeFrom };
      const ready = this.#workers.start(assignmentsOf(this.#options.join, this.#config, own));
      await this.#plane.connect(
        peers.filter((peer) => peer.node !== node),
        this.#timeouts.connectMs,
      );
      // Not before the peers are connected: an unreachable one would show as a time-out of the first
      // collective.
      await ready;
      this.#session.send({ event: 'ready', ready: {} });
    } catch (error) {
      this.#failItself(asTrainerError(error, { node }));
    }
  }

  #createDataPlane(): DataPlane {
    const { rpc, join } = this.#options;
    const { cluster } = this.#config;
    return DataPlane.create({
      runId: join.runId,
      generation: join.generation,
      node: join.node,
      numNodes: cluster.nodes,
      workersPerNode: cluster.workersPerNode,
      ringBytes: cluster.ringBytes,
      interNodeLink: cluster.interNodeLink,
      faultyLink: this.#options.link ?? null,
      keepaliveMs: this.#timeouts.peerKeepaliveMs,
      server: rpc.server,
      security: rpc.security,
      onError: (error) => this.#failItself(error),
    });
  }

  /** The state to start from: a snapshot in memory, the checkpoint, or null for none. */
  async #restore(peers: readonly Peer[], snapshot: SnapshotRef | null): Promise<string | null> {
    const { snapshots, join } = this.#options;
    if (snapshots != null) snapshots.peers = peers;
    const folder = (await snapshots?.restore(snapshot)) ?? null;
    return folder ?? (join.resumeFrom || null);
  }

  /** Asked for anew after each wait. */
  get #isLeaving(): boolean {
    return this.#leaving !== null;
  }

  /** Begins to keep snapshots; returns where the ranks write them, null for none. */
  #beginSnapshots(): string | null {
    const { snapshots, join } = this.#options;
    if (snapshots == null) return null;
    const { runId, generation, node, datasetDir } = join;
    return snapshots.begin(
      { runId, generation, node, datasetDir, config: this.#config },
      {
        kept: (snapshot, ms) => {
          this.#session.send({ event: 'snapshot', snapshot });
          this.#workers.save({ type: 'snapshot-kept', step: snapshot.step, ms });
        },
        failed: (line) => this.#logger.warn(`no further snapshots of the run's state in memory: ${line}`),
      },
    );
  }

  #onReport(event: AgentEvent): void {
    this.#session.send(event);
    if (event.event === 'step') this.#trace.afterStep();
  }

  /** Passes a worker's JSON lines on; anything else was cut, or comes from a native library or a crash. */
  #onWorkerLine(rank: number, line: string, stream: WorkerStream): void {
    if (stream === 'stdout' && line.startsWith('{') && line.endsWith('}')) this.#log(line);
    else if (line.trim() !== '') this.#logger.warn({ rank, stream }, line);
  }

  #log(line: string): void {
    this.#shipper.push(line);
    if (this.#options.logToStdout) process.stdout.write(`${line}\n`);
  }

  #sendHeartbeat(): void {
    const plane = this.#leaving === null ? this.#plane : null;
    const workers =
      plane === null ? [] : this.#workers.progress((rank) => plane.progressOf(rank - this.#firstRank));
    this.#session.send({
      event: 'heartbeat',
      heartbeat: { workers, logQueueLines: this.#shipper.numQueued },
    });
  }

  /** Reports a failure of the agent itself, in the name of its first rank. */
  #failItself(error: TrainerError): void {
    // Streams break as the nodes leave one after another.
    if (this.#leaving !== null) return;
    this.#fail({ rank: this.#firstRank, pid: process.pid, error, code: null, signal: null });
  }

  /** Reports the first fault of each rank, and frees its neighbours at once. */
  #fail(fault: WorkerFault, progress = this.#progressOf(fault.rank)): void {
    const { rank, error } = fault;
    if (this.#failed.has(rank)) return;
    this.#failed.set(rank, error.code);
    // The last regular heartbeat may be many steps old.
    this.#sendHeartbeat();
    const failure = workerFailure(fault, progress);
    this.#abort(abortReason(rank, error.message));
    this.#shipper.flush();
    this.#session.send({ event: 'failure', failure });
  }

  /** Null without a segment to read. */
  #progressOf(rank: number): RankProgress | null {
    const plane = this.#leaving === null ? this.#plane : null;
    return plane?.progressOf(rank - this.#firstRank) ?? null;
  }

  /** Reports a worker that makes no progress, with where it is, and kills it. */
  async #examine({ rank, reason }: Examine): Promise<void> {
    const pid = this.#workers.pidOf(rank);
    if (pid === 0 || this.#leaving !== null) return;
    // Others may give up on it meanwhile.
    const progress = this.#progressOf(rank);
    const { where, frames } = await this.#workers.stackOf(rank, this.#timeouts.stackMs);
    this.#flight.addStack(rank, frames);
    const error = new TrainerError('WORKER_HUNG', `worker (pid ${pid}) ${reason}; it is ${where}`);
    this.#fail({ rank, pid, error, code: null, signal: null }, progress);
    this.#workers.kill(rank);
  }

  /** Records the ranks' last operations, then ends their waits. */
  #abort(reason: string): void {
    if (this.#plane === null) return;
    this.#flight.record(this.#plane, { failures: this.#failed, reason });
    this.#plane.abort(reason);
  }

  /** @returns whether to wait for another coordinator */
  #onLost(reason: string): boolean {
    if (this.#leaving === null) this.#logger.warn(`the coordinator is gone, the workers go on: ${reason}`);
    // It fell silent between the abort and its decision.
    else this.#decision.make('look');
    return this.#leaving === null;
  }

  /** Ends what is left of a generation that the coordinator has given up. */
  #lookElsewhere(reason: string): void {
    this.#decision.make('look');
    void this.#leave(reason);
  }

  /** Leaves without a coordinator to report to; standard error is all that is left. */
  #leaveAlone(reason: string): void {
    if (!this.#options.logToStdout) process.stderr.write(`${reason}\n`);
    this.#decision.make('end');
    void this.#leave(reason);
  }

  /** Tears the node down, once: after an abort (`reason`) or at the end of a good run (null). */
  #leave(reason: string | null): Promise<void> {
    if (reason !== null && this.#leaving === null) this.#sendHeartbeat();
    this.#leaving ??= this.#tearDown(reason);
    return this.#leaving;
  }

  async #tearDown(reason: string | null): Promise<void> {
    if (reason !== null) this.#abort(reason);
    const { abortGraceMs = GRACE.abortMs } = this.#options;
    const left = await this.#workers.end(reason === null ? GRACE.exitMs : abortGraceMs);
    if (left.length > 0)
      this.#logger.warn(`not even SIGKILL ended ${left.join(', ')}: workers that hang in the kernel`);
    clearInterval(this.#heartbeat);
    this.#options.snapshots?.end();
    // The segment is readable until the plane is closed.
    this.#trace.end();
    await this.#plane?.close();
    await Promise.all([
      this.#flight.settle(),
      this.#trace.settle(reason === null ? GRACE.drainMs : GRACE.flightMs),
    ]);
    this.#logger.info(reason === null ? 'node leaves' : `node leaves${becauseOf(reason)}`);
    this.#shipper.flush();
    this.#session.send({ event: 'leaving', leaving: {} });
    const decision = reason === null ? 'end' : await this.#decision.within(GRACE.decisionMs);
    this.#shipper.close();
    await this.#session.close();
    if (decision !== 'end') this.#resolveEnded(decision);
    else this.#resolveEnded(reason === null ? EXIT.done : EXIT.failedRun);
  }
}
