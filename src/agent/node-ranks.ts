import type { RankProgress } from '../collectives/control-block.js';
import { ringBytesOf } from '../config/cluster-sizes.js';
import { assertSameRoutes } from '../config/named-routes.js';
import type { RunConfig } from '../config/schema.js';
import { GRACE, type Timeouts, timeoutsOf } from '../config/timeouts.js';
import { asTrainerError, type ErrorCode, TrainerError } from '../errors.js';
import type { Logger } from '../logger.js';
import { assertMayRun } from '../routing/own/router-file.js';
import type * as wire from '../rpc/generated/messages.js';
import type { RpcServer } from '../rpc/server.js';
import { abortReason } from '../run/abort-reason.js';
import type { SaveCommand } from '../worker/messages.js';
import { StartClock } from '../worker/start-clock.js';
import { assertSharedFolders, assignmentsOf } from './assignments.js';
import { DataPlane } from './data-plane.js';
import type { FaultyLink } from './faulty-link.js';
import { type FlightPlace, FlightRecorder } from './flight-recorder.js';
import type { LogShipper } from './log-shipper.js';
import type { NodeSnapshots } from './node-snapshots.js';
import { NodeWorkers } from './node-workers.js';
import { TraceRecorder } from './trace-recorder.js';
import { type WorkerFault, workerFailure } from './worker-failure.js';
import type { WorkerPool } from './worker-pool.js';
import type { WorkerStream } from './worker-process.js';

export interface NodeRanksOptions {
  readonly join: wire.JoinReply;
  readonly config: RunConfig;
  /** Server for the peers. */
  readonly rpc: RpcServer;
  /** In-memory snapshots of this node over all generations; null or undefined for none. */
  readonly snapshots?: NodeSnapshots | null | undefined;
  /** Takes injected faults; null or undefined where they are not allowed. */
  readonly link?: FaultyLink | null | undefined;
  /** Worker processes of this node over all generations. */
  readonly pool: WorkerPool;
  readonly logger: Logger;
  readonly shipper: LogShipper;
  /** Writes a JSON line to the node's log. */
  readonly log: (line: string) => void;
  readonly send: (event: wire.AgentEvent) => void;
}

/**
 * The ranks of a node during a generation: their worker processes (NodeWorkers), their data plane (DataPlane), and the
 * recorders of their operations. Reports the first fault of each rank and frees the other ranks from waiting. Never
 * blocks, as it reads progress from the segment.
 */
export class NodeRanks {
  readonly #timeouts: Timeouts;
  readonly #logger: Logger;
  readonly #workers: NodeWorkers;
  readonly #flight: FlightRecorder;
  readonly #trace: TraceRecorder;
  readonly #heartbeat: NodeJS.Timeout;
  readonly #failed = new Map<number, ErrorCode>();
  readonly #place: FlightPlace;
  readonly #firstRank: number;
  readonly #snapshotDir: string | null;
  #plane: DataPlane | null = null;
  #begunMs = 0;
  #hasStarted = false;
  #isEnding = false;

  constructor(private readonly options: NodeRanksOptions) {
    this.#logger = options.logger;
    const { runId, generation, node, runDir } = options.join;
    const { cluster } = options.config;
    const { nodes: numNodes, workersPerNode } = cluster;
    this.#timeouts = timeoutsOf(cluster);
    this.#firstRank = node * workersPerNode;
    this.#place = { runId, generation, node, numNodes, workersPerNode };
    const warn = (what: string) => (error: unknown) =>
      this.#logger.warn(`${what}: ${asTrainerError(error).message}`);
    this.#trace = new TraceRecorder({
      ...this.#place,
      directory: `${runDir}/trace`,
      onError: warn('no further timelines of steps'),
    });
    this.#flight = new FlightRecorder(this.#place, `${runDir}/flight`, warn('no flight file'));
    this.#workers = new NodeWorkers(
      {
        line: (rank, line, stream) => this.#onWorkerLine(rank, line, stream),
        report: (event) => this.#onReport(event),
        snapshot: (report) => options.snapshots?.add(report),
        failed: (fault) => this.#fail(fault),
        finished: (stoppedEarly) => options.send({ event: 'finished', finished: { stoppedEarly } }),
      },
      options.pool,
    );
    this.#snapshotDir = this.#beginSnapshots();
    this.#heartbeat = setInterval(() => {
      this.#workers.lookForOomKills();
      this.sendHeartbeat();
    }, this.#timeouts.heartbeatMs);
  }

  get hasStarted(): boolean {
    return this.#hasStarted;
  }

  begin(): void {
    this.#workers.begin();
    this.#begunMs = performance.now();
  }

  save(command: SaveCommand): void {
    this.#workers.save(command);
  }

  requestStop(): void {
    this.#plane?.requestStop();
  }

  inflict(fault: wire.Fault): void {
    const { link } = this.options;
    if (link == null) this.#logger.warn('a fault is refused: this node was started without --allow-faults');
    else if (fault.fault === 'link') link.inflict(fault.link);
    else this.#workers.armFailpoint(fault.failpoint);
  }

  /** Creates the segment, starts the workers, connects to the peers, and reports that all are ready. */
  async start({ peers, snapshot, snapshotHolders }: wire.Start): Promise<void> {
    if (this.#hasStarted || this.#isEnding) return;
    this.#hasStarted = true;
    const { node } = this.options.join;
    const clock = new StartClock();
    try {
      assertSharedFolders(this.options.join);
      assertMayRun(this.options.config.moe.router);
      assertSameRoutes(this.options.config.train.routes);
      this.#plane = this.#createDataPlane();
      this.#trace.begin(this.#plane);
      clock.end('rings');
      const resumeFrom = await this.#restore(peers, snapshot, snapshotHolders);
      // Re-check after the await.
      if (this.#isEnding as boolean) return;
      clock.end('state');
      const { segmentPath } = this.#plane;
      const snapshotHeir = this.options.snapshots?.heir ?? null;
      const own = {
        segmentPath,
        snapshotDir: this.#snapshotDir,
        snapshotHeir,
        resumeFrom,
        start: clock.parts,
      };
      const ready = this.#workers.start(assignmentsOf(this.options.join, this.options.config, own));
      await this.#plane.connect(
        peers.filter((peer) => peer.node !== node),
        this.#timeouts.connectMs,
      );
      // The wait follows the connection to the peers: an unreachable peer would show as a time-out of the first collective.
      await ready;
      this.options.snapshots?.dropGathered();
      this.options.send({ event: 'ready', ready: {} });
    } catch (error) {
      this.#failItself(asTrainerError(error, { node }));
    }
  }

  #createDataPlane(): DataPlane {
    const { rpc, link, config } = this.options;
    return DataPlane.create({
      ...this.#place,
      ringBytes: ringBytesOf(config.cluster),
      interNodeLink: config.cluster.interNodeLink,
      faultyLink: link ?? null,
      keepaliveMs: this.#timeouts.peerKeepaliveMs,
      server: rpc.server,
      findDirect: rpc.findDirect,
      stream: config.cluster.stream,
      security: rpc.security,
      onError: (error) => this.#failItself(error),
    });
  }

  /** Returns the state to start from: a snapshot in memory, the checkpoint, or null for none. */
  async #restore(
    peers: readonly wire.Peer[],
    snapshot: wire.SnapshotRef | null,
    holders: readonly string[],
  ): Promise<string | null> {
    const { snapshots, join } = this.options;
    if (snapshots != null) snapshots.peers = peers;
    const isSameLayout = snapshot === null || holders.length === 0;
    const folder =
      (await (isSameLayout ? snapshots?.restore(snapshot) : snapshots?.gather(snapshot, holders))) ?? null;
    return folder ?? (join.resumeFrom || null);
  }

  /** Begins to keep snapshots; returns the folder in which ranks write them, null for none. */
  #beginSnapshots(): string | null {
    const { snapshots, join } = this.options;
    if (snapshots == null) return null;
    const { runId, generation, node, datasetDir } = join;
    return snapshots.begin(
      { runId, generation, node, datasetDir, config: this.options.config },
      {
        kept: (snapshot, ms) => {
          this.options.send({ event: 'snapshot', snapshot });
          this.#workers.save({ type: 'snapshot-kept', step: snapshot.step, ms });
        },
        warn: (line) => this.#logger.warn(line),
      },
    );
  }

  #onReport(event: wire.AgentEvent): void {
    this.options.send(event);
    if (event.event !== 'step') return;
    this.#trace.afterStep();
    const { config, pool } = this.options;
    const ranForMs = performance.now() - this.#begunMs;
    pool.afterStep(event.step.step, ranForMs, config, (line) => this.#logger.info(line));
  }

  /** Forwards a worker's JSON lines; any other line was cut, or comes from a native library or a crash. */
  #onWorkerLine(rank: number, line: string, stream: WorkerStream): void {
    if (stream === 'stdout' && line.startsWith('{') && line.endsWith('}')) this.options.log(line);
    else if (line.trim() !== '') this.#logger.warn({ rank, stream }, line);
  }

  sendHeartbeat(): void {
    const plane = this.#isEnding ? null : this.#plane;
    const workers =
      plane === null ? [] : this.#workers.progress((rank) => plane.progressOf(rank - this.#firstRank));
    this.options.send({
      event: 'heartbeat',
      heartbeat: { workers, logQueueLines: this.options.shipper.numQueued },
    });
  }

  /** Reports a failure of the agent itself, in the name of its first rank. */
  #failItself(error: TrainerError): void {
    // Streams break as the nodes leave one after another, which is no failure.
    if (this.#isEnding) return;
    this.#fail({ rank: this.#firstRank, pid: process.pid, error, code: null, signal: null });
  }

  /** Reports the first fault of each rank, and frees its neighbours at once. */
  #fail(fault: WorkerFault, progress = this.#progressOf(fault.rank)): void {
    const { rank, error } = fault;
    if (this.#failed.has(rank)) return;
    this.#failed.set(rank, error.code);
    // The last regular heartbeat may be many steps old.
    this.sendHeartbeat();
    const failure = workerFailure(fault, progress);
    this.#abort(abortReason(rank, error.message));
    this.options.shipper.flush();
    this.options.send({ event: 'failure', failure });
  }

  /** Reads a rank's progress; null if there is no segment. */
  #progressOf(rank: number): RankProgress | null {
    const plane = this.#isEnding ? null : this.#plane;
    return plane?.progressOf(rank - this.#firstRank) ?? null;
  }

  /** Reports a worker that makes no progress, with its stack, and kills it. */
  async examine({ rank, reason }: wire.Examine): Promise<void> {
    const pid = this.#workers.pidOf(rank);
    if (pid === 0 || this.#isEnding) return;
    // The progress is read first, since other ranks may give up on this one meanwhile.
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
    this.#flight.record(this.#plane, this.#failed, reason);
    this.#plane.abort(reason);
  }

  /**
   * Aborts the ranks if there is a `reason`, waits until all workers are free or gone, and streams and recorders have ended.
   *
   * @returns the local snapshots that this node holds
   */
  async end(reason: string | null, abortGraceMs: number = GRACE.abortMs): Promise<wire.SnapshotRef[]> {
    this.#isEnding = true;
    if (reason !== null) {
      this.#abort(reason);
      this.#workers.release();
    }
    const left = await this.#workers.end(reason === null ? GRACE.exitMs : abortGraceMs);
    if (left.length > 0)
      this.#logger.warn(`not even SIGKILL ended ${left.join(', ')}: workers that hang in the kernel`);
    clearInterval(this.#heartbeat);
    const local = this.options.snapshots?.end() ?? [];
    // The segment is readable until the plane is closed.
    this.#trace.end();
    await this.#plane?.close();
    await Promise.all([
      this.#flight.settle(),
      this.#trace.settle(reason === null ? GRACE.drainMs : GRACE.flightMs),
    ]);
    return local;
  }
}
