import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import type { RankProgress } from '../collectives/control-block.js';
import { topologyOf } from '../collectives/topology.js';
import type { RunConfig } from '../config/schema.js';
import { asTrainerError, type ErrorCode, EXIT, TrainerError } from '../errors.js';
import { createLogger, type Logger } from '../observability/logger.js';
import { OomKills } from '../os/oom-kills.js';
import { processInfo } from '../os/process-info.js';
import type { CoordinatorClient } from '../rpc/coordinator-client.js';
import type { CoordinatorCommand, JoinReply, Peer, WorkerFailure, WorkerProgress } from '../rpc/messages.js';
import type { RpcServer } from '../rpc/server.js';
import type { WorkerAssignment, WorkerEvent } from '../worker/messages.js';
import { DataPlane } from './data-plane.js';
import { FlightRecorder } from './flight-recorder.js';
import { HeartbeatAge } from './heartbeat-age.js';
import { LogShipper } from './log-shipper.js';
import { Session } from './session.js';
import { type WorkerExit, WorkerPool } from './worker-pool.js';

export interface NodeAgentOptions {
  readonly join: JoinReply;
  /** Where the peers find this node, host:port. */
  readonly dataAddress: string;
  /** Serves the peers. */
  readonly rpc: RpcServer;
  readonly client: CoordinatorClient;
  readonly logToStdout: boolean;
}

const CONNECT_DEADLINE_MS = 30_000;
const HEARTBEAT_MS = 500;
/** After an abort, workers get this long to report and end by themselves before they are killed. */
const ABORT_GRACE_MS = 1_500;
/** After `finished`, for the workers' exit handlers. */
const EXIT_GRACE_MS = 5_000;

/**
 * One node of a run. Its life: `start` (make the segment, spawn the workers, connect to the peers), `begin`, then either
 * all workers finish and the coordinator says farewell, or something fails anywhere and everything is torn down.
 * It never blocks: what its workers do is read from the segment.
 */
export class NodeAgent {
  readonly #config: RunConfig;
  readonly #logger: Logger;
  readonly #shipper = new LogShipper();
  readonly #session: Session;
  readonly #pool: WorkerPool;
  readonly #ready = new Set<number>();
  readonly #finished = new Set<number>();
  readonly #failed = new Map<number, ErrorCode>();
  readonly #heartbeatAge = new HeartbeatAge();
  readonly #oomKills = new OomKills();
  readonly #residentBytes = new Map<number, number>();
  readonly #heartbeat: NodeJS.Timeout;
  readonly #flight: FlightRecorder;
  #plane: DataPlane | null = null;
  #started = false;
  #isConnected = false;
  #stoppedEarly = false;
  #leaving: Promise<void> | null = null;
  #resolveEnded!: (code: number) => void;

  /** Resolves with the exit code once everything of this node is gone. */
  readonly ended = new Promise<number>((resolve) => {
    this.#resolveEnded = resolve;
  });

  constructor(readonly options: NodeAgentOptions) {
    const { client, rpc, dataAddress } = options;
    const { runId, generation, node, configJson } = options.join;
    this.#config = JSON.parse(configJson);
    this.#logger = createLogger({
      level: this.#config.logLevel,
      origin: { run: runId, generation, node },
      destination: { write: (line) => this.#log(line.trimEnd()) },
    });
    this.#flight = new FlightRecorder({
      directory: `${options.join.runDir}/flight`,
      runId,
      generation,
      node,
      numNodes: this.#config.cluster.nodes,
      workersPerNode: this.#config.cluster.workersPerNode,
      onError: (error) => this.#logger.warn(`no flight file: ${asTrainerError(error).message}`),
    });
    this.#pool = new WorkerPool({
      event: (rank, event) => this.#onWorkerEvent(rank, event),
      line: (rank, line, stream) => this.#onWorkerLine(rank, line, stream),
      exit: (exit) => this.#onWorkerExit(exit),
    });
    rpc.onRefused = (line) => this.#logger.warn(line);
    this.#session = new Session(client.session({ runId, generation, node, dataAddress }), {
      command: (command) => this.#onCommand(command),
      ended: (reason) => this.#leaveAlone(`the coordinator is gone: ${reason}`),
    });
    this.#shipper.connect({
      isReady: () => this.#session.isReady,
      send: (lines, dropped) => this.#session.send({ logs: { lines, dropped } }),
    });
    this.#heartbeat = setInterval(() => {
      this.#oomKills.look();
      this.#sendHeartbeat();
    }, HEARTBEAT_MS);
    this.#sendHeartbeat();
  }

  /** Asks for the end of the run, which only the coordinator decides; before the run starts, gives the place back. */
  requestStop(reason: string): void {
    if (this.#started)
      this.#session.send({ stop: { reason: `${reason} on node ${this.options.join.node}` } });
    else void this.#leave(null);
  }

  /** False while the run waits for its other nodes. */
  get hasStarted(): boolean {
    return this.#started;
  }

  #log(line: string): void {
    this.#shipper.push(line);
    if (this.options.logToStdout) process.stdout.write(`${line}\n`);
  }

  #onCommand(command: CoordinatorCommand): void {
    if ('start' in command) void this.#start(command.start.peers);
    else if ('begin' in command) this.#pool.send({ type: 'begin' });
    else if ('stop' in command) this.#plane?.requestStop();
    else if ('abort' in command) void this.#leave(command.abort.reason);
    else if ('farewell' in command) void this.#leave(null);
  }

  async #start(peers: readonly Peer[]): Promise<void> {
    const { rpc, join } = this.options;
    const { node, runId, generation } = join;
    const { cluster } = this.#config;
    this.#started = true;
    try {
      assertSharedFolders(join);
      this.#plane = DataPlane.create({
        runId,
        generation,
        node,
        numNodes: cluster.nodes,
        workersPerNode: cluster.workersPerNode,
        ringBytes: cluster.ringBytes,
        interNodeLink: cluster.interNodeLink,
        server: rpc.server,
        security: rpc.security,
        onError: (error) => {
          // While nodes leave, one is always first.
          if (this.#leaving === null) this.#fail(this.#firstRank, process.pid, error);
        },
      });
      this.#pool.start(this.#assignments(this.#plane.segmentPath));
      await this.#plane.connect(
        peers.filter((peer) => peer.node !== node),
        CONNECT_DEADLINE_MS,
      );
      this.#isConnected = true;
      this.#reportReady();
    } catch (error) {
      this.#fail(this.#firstRank, process.pid, asTrainerError(error, { node }));
    }
  }

  /** Only once the peers are connected: else the first exchange would time out before it is known who is out of reach. */
  #reportReady(): void {
    if (this.#isConnected && this.#ready.size === this.#config.cluster.workersPerNode)
      this.#session.send({ ready: {} });
  }

  get #firstRank(): number {
    return this.options.join.node * this.#config.cluster.workersPerNode;
  }

  #assignments(segmentPath: string): WorkerAssignment[] {
    const { nodes, workersPerNode } = this.#config.cluster;
    const { runId, generation, runDir, datasetDir, resumeFrom } = this.options.join;
    return Array.from({ length: workersPerNode }, (_, localRank) => ({
      runId,
      generation,
      config: this.#config,
      topology: topologyOf(this.#firstRank + localRank, nodes, workersPerNode),
      segmentPath,
      datasetDir,
      checkpointDir: `${runDir}/checkpoints`,
      resumeFrom: resumeFrom || null,
    }));
  }

  #onWorkerEvent(rank: number, event: WorkerEvent): void {
    switch (event.type) {
      case 'ready':
        this.#ready.add(rank);
        this.#reportReady();
        return;
      case 'step':
        this.#session.send({ step: event.report });
        return;
      case 'validation':
        this.#session.send({ validation: event.report });
        return;
      case 'checkpoint':
        this.#session.send({ checkpoint: event.report });
        return;
      case 'failed': {
        const { code, message, context } = event;
        this.#fail(rank, this.#pool.pidOf(rank), new TrainerError(code, message, context));
        return;
      }
      case 'finished':
        this.#finished.add(rank);
        this.#stoppedEarly ||= event.stoppedEarly;
    }
  }

  /** A worker's own JSON lines go on as they are; anything else was cut, or written by a native library or a crash. */
  #onWorkerLine(rank: number, line: string, stream: 'stdout' | 'stderr'): void {
    if (stream === 'stdout' && line.startsWith('{') && line.endsWith('}')) this.#log(line);
    else if (line.trim() !== '') this.#logger.warn({ rank, stream }, line);
  }

  #onWorkerExit({ rank, pid, code, signal, killedByUs }: WorkerExit): void {
    if (this.#finished.has(rank) && code === 0) {
      if (this.#finished.size === this.#config.cluster.workersPerNode)
        this.#session.send({ finished: { stoppedEarly: this.#stoppedEarly } });
      return;
    }
    if (killedByUs || this.#failed.has(rank)) return;
    // Nobody of the run sends SIGKILL before the end; the kernel does where memory runs out.
    const why = signal === 'SIGKILL' ? this.#oomKills.explain(this.#residentBytes.get(rank) ?? 0) : '';
    const how = signal === null ? `ended with code ${code}` : `was killed by ${signal}${why}`;
    this.#fail(rank, pid, new TrainerError('WORKER_DIED', `worker (pid ${pid}) ${how}`), { code, signal });
  }

  /** Reports a failure of `rank`, placed where its control block says it was, and frees its neighbours at once. */
  #fail(
    rank: number,
    pid: number,
    error: TrainerError,
    end: Pick<WorkerExit, 'code' | 'signal'> = { code: null, signal: null },
  ): void {
    if (this.#failed.has(rank)) return;
    this.#failed.set(rank, error.code);
    // What all ranks of the node are doing now explains more than the last beat, many steps ago.
    this.#sendHeartbeat();
    const progress = this.#progressOf(rank);
    const operation = progress?.operation ?? null;
    const failure: WorkerFailure = {
      rank,
      pid,
      code: error.code,
      message: error.message,
      step: error.context.step ?? progress?.step ?? -1,
      layer: error.context.layer ?? operation?.layer ?? -1,
      operation: error.context.operation ?? describeProgress(progress),
      timeMs: Date.now(),
      exitCode: end.code ?? -1,
      signal: end.signal ?? '',
    };
    this.#abort(`rank ${rank}: ${error.message}`);
    this.#shipper.flush();
    this.#session.send({ failure });
  }

  /** Keeps what the ranks were doing, then ends their waits. */
  #abort(reason: string): void {
    const plane = this.#plane;
    if (plane === null) return;
    const source = {
      failures: this.#failed,
      progressOf: (local: number) => plane.progressOf(local),
      flightOf: (local: number) => plane.flightOf(local),
    };
    this.#flight.record(source, reason);
    plane.abort(reason);
  }

  #progressOf(rank: number): RankProgress | null {
    const local = rank - this.#firstRank;
    return this.#plane === null || this.#leaving !== null ? null : this.#plane.progressOf(local);
  }

  #sendHeartbeat(): void {
    const { workersPerNode } = this.#config.cluster;
    const ranks = Array.from({ length: workersPerNode }, (_, local) => this.#firstRank + local);
    const workers = ranks.flatMap((rank): WorkerProgress[] => {
      const pid = this.#pool.pidOf(rank);
      const progress = this.#progressOf(rank);
      if (pid === 0 || progress === null) return [];
      const { state, residentBytes } = processInfo(pid);
      if (residentBytes > 0) this.#residentBytes.set(rank, residentBytes);
      return [
        {
          rank,
          pid,
          step: progress.step,
          phase: progress.phase,
          operation: describeOperation(progress),
          processState: state,
          residentBytes,
          idleMs: this.#heartbeatAge.idleMs(rank, progress.heartbeat),
          layer: progress.operation?.layer ?? -1,
        },
      ];
    });
    this.#session.send({ heartbeat: { workers, logQueueLines: this.#shipper.numQueued } });
  }

  /** Leaves without a coordinator to tell why: to its parent standard error is all that is left. */
  #leaveAlone(reason: string): void {
    if (!this.options.logToStdout) process.stderr.write(`${reason}\n`);
    void this.#leave(reason);
  }

  /** Ends everything of this node, once: after an abort (`reason`) or at the end of a good run (null). */
  #leave(reason: string | null): Promise<void> {
    if (reason !== null && this.#leaving === null) this.#sendHeartbeat();
    this.#leaving ??= this.#tearDown(reason);
    return this.#leaving;
  }

  async #tearDown(reason: string | null): Promise<void> {
    if (reason !== null) this.#abort(reason);
    const left = await this.#pool.end(reason === null ? EXIT_GRACE_MS : ABORT_GRACE_MS);
    if (left.length > 0)
      this.#logger.warn(`not even SIGKILL ended ${left.join(', ')}: workers that hang in the kernel`);
    clearInterval(this.#heartbeat);
    await this.#plane?.close();
    await this.#flight.settle();
    this.#logger.info(reason === null ? 'node leaves' : `node leaves: ${reason}`);
    this.#shipper.close();
    this.#session.send({ leaving: {} });
    await this.#session.close();
    this.#resolveEnded(reason === null ? EXIT.done : EXIT.failedRun);
  }
}

/** Nodes on different machines read the data and write the checkpoints under the coordinator's paths. */
function assertSharedFolders({ runDir, datasetDir }: JoinReply): void {
  const missing = [runDir, datasetDir].find((folder) => !existsSync(folder));
  if (missing !== undefined)
    throw new TrainerError(
      'NO_RESOURCE',
      `${missing} does not exist on ${hostname()}: every node needs the folders of the runs and of the data under the coordinator's paths (a shared volume)`,
    );
}

function describeOperation(progress: RankProgress): string {
  const { operation } = progress;
  if (operation === null) return '';
  const layer = operation.layer === undefined ? '' : ` layer ${operation.layer}`;
  return `${operation.active ? '' : 'after '}${operation.kind} ${operation.purpose}${layer} (operation ${operation.sequence})`;
}

/** The phase and collective for an error's place; empty before there is any. */
function describeProgress(progress: RankProgress | null): string {
  if (progress === null || progress.pid === 0) return '';
  return [progress.phase, describeOperation(progress)].filter(Boolean).join(', ');
}
