import { hostname } from 'node:os';
import * as grpc from '@grpc/grpc-js';
import type { WorkerProgress as SegmentProgress } from '../collectives/control-block.js';
import { removeStaleSegments } from '../collectives/shm-segment.js';
import { topologyOf } from '../collectives/topology.js';
import type { RunConfig } from '../config/schema.js';
import { asTrainerError, EXIT, TrainerError } from '../errors.js';
import { createLogger, type Logger } from '../observability/logger.js';
import { processInfo } from '../observability/process-info.js';
import { CoordinatorClient } from '../rpc/coordinator-client.js';
import type { CoordinatorCommand, JoinReply, Peer, WorkerFailure, WorkerProgress } from '../rpc/messages.js';
import { createRpcServer, listen, type RpcServer } from '../rpc/server.js';
import type { WorkerAssignment, WorkerEvent } from '../worker/messages.js';
import { DataPlane } from './data-plane.js';
import { LogShipper } from './log-shipper.js';
import { Session } from './session.js';
import { type WorkerExit, WorkerPool } from './worker-pool.js';

export interface NodeAgentOptions {
  readonly coordinatorAddress: string;
  readonly logToStdout: boolean;
  /** End when the process that started this one has ended. */
  readonly exitWithParent: boolean;
}

const JOIN_DEADLINE_MS = 60_000;
const CONNECT_DEADLINE_MS = 30_000;
const HEARTBEAT_MS = 500;
const PARENT_WATCH_MS = 500;
/** After an abort, workers get this long to report and end by themselves before they are killed. */
const ABORT_GRACE_MS = 1_500;
/** After `finished`, for the workers' exit handlers. */
const EXIT_GRACE_MS = 5_000;

/**
 * Runs one node until its run is over.
 *
 * @returns the exit code: 0 if the workers ended well, 3 if the run failed
 * @throws TrainerError `UNAVAILABLE` if no coordinator answers
 */
export async function runNodeAgent(options: NodeAgentOptions): Promise<number> {
  const forgetParent = options.exitWithParent ? exitWithParent() : () => undefined;
  removeStaleSegments();
  const rpc = createRpcServer();
  const address = await listen(rpc, '127.0.0.1', 0);
  const client = new CoordinatorClient(options.coordinatorAddress, grpc.credentials.createInsecure());
  try {
    const join = await client.join(
      { host: hostname(), pid: process.pid, dataAddress: address },
      JOIN_DEADLINE_MS,
    );
    // From here on the session tells of the coordinator's end.
    forgetParent();
    const agent = new NodeAgent(options, join, rpc, client);
    return await agent.ended;
  } finally {
    forgetParent();
    client.close();
    rpc.server.forceShutdown();
  }
}

function exitWithParent(): () => void {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid !== parent) process.exit(EXIT.failedRun);
  }, PARENT_WATCH_MS);
  return () => clearInterval(timer);
}

/**
 * One node of a run. Its life: `start` (make the segment, spawn the workers, connect to the peers), `begin`, then either
 * all workers finish and the coordinator says farewell, or something fails anywhere and everything is torn down.
 * It never blocks: what its workers do is read from the segment.
 */
class NodeAgent {
  readonly #config: RunConfig;
  readonly #logger: Logger;
  readonly #shipper = new LogShipper();
  readonly #session: Session;
  readonly #pool: WorkerPool;
  readonly #ready = new Set<number>();
  readonly #finished = new Set<number>();
  readonly #failed = new Set<number>();
  readonly #heartbeat: NodeJS.Timeout;
  #plane: DataPlane | null = null;
  #stoppedEarly = false;
  #leaving: Promise<void> | null = null;
  #resolveEnded!: (code: number) => void;

  /** Resolves with the exit code once everything of this node is gone. */
  readonly ended = new Promise<number>((resolve) => {
    this.#resolveEnded = resolve;
  });

  constructor(
    readonly options: NodeAgentOptions,
    readonly join: JoinReply,
    readonly rpc: RpcServer,
    client: CoordinatorClient,
  ) {
    const { runId, generation, node } = join;
    this.#config = JSON.parse(join.configJson);
    this.#logger = createLogger({
      level: this.#config.logLevel,
      origin: { run: runId, generation, node },
      destination: { write: (line) => this.#log(line.trimEnd()) },
    });
    this.#pool = new WorkerPool({
      event: (rank, event) => this.#onWorkerEvent(rank, event),
      line: (rank, line, stream) => this.#onWorkerLine(rank, line, stream),
      exit: (exit) => this.#onWorkerExit(exit),
    });
    this.#session = new Session(client.session({ runId, generation, node }), {
      command: (command) => this.#onCommand(command),
      ended: (reason) => this.#leave(`the coordinator is gone: ${reason}`),
    });
    this.#shipper.connect({
      isReady: () => this.#session.isReady,
      send: (lines, dropped) => this.#session.send({ logs: { lines, dropped } }),
    });
    this.#heartbeat = setInterval(() => this.#sendHeartbeat(), HEARTBEAT_MS);
    this.#sendHeartbeat();
    // The coordinator decides how a run ends: a signal to this process only asks it.
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.on(signal, () => this.#session.send({ stop: { reason: `${signal} on node ${node}` } }));
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
    const { node, runId, generation } = this.join;
    const { cluster } = this.#config;
    try {
      this.#plane = DataPlane.create({
        runId,
        generation,
        node,
        numNodes: cluster.nodes,
        workersPerNode: cluster.workersPerNode,
        ringBytes: cluster.ringBytes,
        interNodeLink: cluster.interNodeLink,
        server: this.rpc.server,
        credentials: grpc.credentials.createInsecure(),
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
    } catch (error) {
      this.#fail(this.#firstRank, process.pid, asTrainerError(error, { node }));
    }
  }

  get #firstRank(): number {
    return this.join.node * this.#config.cluster.workersPerNode;
  }

  #assignments(segmentPath: string): WorkerAssignment[] {
    const { nodes, workersPerNode } = this.#config.cluster;
    const { runId, generation, runDir, datasetDir, resumeFrom } = this.join;
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
        if (this.#ready.size === this.#config.cluster.workersPerNode) this.#session.send({ ready: {} });
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

  /** A worker's own JSON lines go on as they are; anything else was written by a native library or a crash. */
  #onWorkerLine(rank: number, line: string, stream: 'stdout' | 'stderr'): void {
    if (stream === 'stdout' && line.startsWith('{')) this.#log(line);
    else if (line.trim() !== '') this.#logger.warn({ rank, stream }, line);
  }

  #onWorkerExit({ rank, pid, code, signal, killedByUs }: WorkerExit): void {
    if (this.#finished.has(rank) && code === 0) {
      if (this.#finished.size === this.#config.cluster.workersPerNode)
        this.#session.send({ finished: { stoppedEarly: this.#stoppedEarly } });
      return;
    }
    if (killedByUs || this.#failed.has(rank)) return;
    const how = signal === null ? `ended with code ${code}` : `was killed by ${signal}`;
    this.#fail(rank, pid, new TrainerError('WORKER_DIED', `worker (pid ${pid}) ${how}`));
  }

  /** Reports a failure of `rank`, placed where its control block says it was, and frees its neighbours at once. */
  #fail(rank: number, pid: number, error: TrainerError): void {
    if (this.#failed.has(rank)) return;
    this.#failed.add(rank);
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
    };
    this.#plane?.abort(`rank ${rank}: ${error.message}`);
    this.#shipper.flush();
    this.#session.send({ failure });
  }

  #progressOf(rank: number): SegmentProgress | null {
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
      return [
        {
          rank,
          pid,
          step: progress.step,
          phase: progress.phase,
          operation: describeOperation(progress),
          processState: state,
          residentBytes,
        },
      ];
    });
    this.#session.send({ heartbeat: { workers } });
  }

  /** Ends everything of this node, once: after an abort (`reason`) or at the end of a good run (null). */
  #leave(reason: string | null): Promise<void> {
    this.#leaving ??= this.#tearDown(reason);
    return this.#leaving;
  }

  async #tearDown(reason: string | null): Promise<void> {
    if (reason !== null) this.#plane?.abort(reason);
    await this.#pool.end(reason === null ? EXIT_GRACE_MS : ABORT_GRACE_MS);
    clearInterval(this.#heartbeat);
    await this.#plane?.close();
    this.#logger.info(reason === null ? 'node leaves' : `node leaves: ${reason}`);
    this.#shipper.close();
    this.#session.send({ leaving: {} });
    await this.#session.close();
    this.#resolveEnded(reason === null ? EXIT.done : EXIT.failedRun);
  }
}

function describeOperation(progress: SegmentProgress): string {
  const { operation } = progress;
  if (operation === null) return '';
  const layer = operation.layer === undefined ? '' : ` layer ${operation.layer}`;
  return `${operation.active ? '' : 'after '}${operation.kind} ${operation.purpose}${layer} (operation ${operation.sequence})`;
}

/** The phase and collective for an error's place; empty before there is any. */
function describeProgress(progress: SegmentProgress | null): string {
  if (progress === null || progress.pid === 0) return '';
  return [progress.phase, describeOperation(progress)].filter(Boolean).join(', ');
}
