import type { RankProgress } from '../collectives/control-block.js';
import type { Doorbell } from '../collectives/doorbell.js';
import type { FlightRing } from '../collectives/flight-ring.js';
import { removeStaleSegments } from '../collectives/segment-files.js';
import type { SegmentShape } from '../collectives/shm-layout.js';
import { ShmSegment } from '../collectives/shm-segment.js';
import { GRACE } from '../config/timeouts.js';
import { asTrainerError } from '../errors.js';
import { NO_SECURITY, type Security } from '../rpc/security.js';
import { type PeerAddress, PeerStreams, type PeerStreamsOptions } from './peer-streams.js';
import { type RelayStats, RingRelay } from './ring-relay.js';
import { selectTransport, type TransportOptions } from './transport/select-transport.js';

/** Longest sleep of the relay loop, which bounds the cost of a lost wake-up. */
const LOOP_MS = 100;

export interface DataPlaneOptions
  extends SegmentShape,
    TransportOptions,
    Pick<PeerStreamsOptions, 'runId' | 'generation' | 'keepaliveMs' | 'server' | 'onError'> {
  /** Credentials for connections to the other agents; plain text by default. */
  readonly security?: Security;
}

/**
 * The agent's side of all collectives of one generation: owns the node's shared-memory segment, which its workers
 * attach by `segmentPath`, and moves bytes between it and the streams to the other nodes. Order of calls: `create`;
 * start the workers; `connect` once every agent listens; `close` after the workers have ended. The segment is unlinked
 * as soon as all workers have attached, so nothing is left behind however the processes end.
 */
export class DataPlane {
  readonly #relay: RingRelay;
  readonly #streams: PeerStreams;
  readonly #bell: Doorbell;
  readonly #loop: Promise<void>;
  #unlinked = false;
  #closing = false;
  #closed: Promise<void> | null = null;

  private constructor(
    private readonly segment: ShmSegment,
    private readonly options: DataPlaneOptions,
  ) {
    this.#relay = new RingRelay(segment);
    this.#bell = segment.doorbell(segment.shape.workersPerNode);
    this.#streams = new PeerStreams({
      security: NO_SECURITY,
      ...options,
      transport: selectTransport(options),
      receiver: (node) => this.#relay.receiver(node),
      onPull: (node, send) => {
        this.#relay.open(node, send);
        if (!this.#closing) this.#pump();
      },
      onCredit: (node, consumed) => {
        if (this.#closing) return;
        this.#relay.credit(node, consumed);
        this.#pump();
      },
    });
    this.#loop = this.#run().catch((error) => options.onError(asTrainerError(error, { node: options.node })));
  }

  /**
   * Removes segments of dead agents, creates the node's own and starts to serve.
   *
   * @throws TrainerError `NO_RESOURCE` if /dev/shm is too small
   */
  static create(options: DataPlaneOptions): DataPlane {
    const { node, numNodes, workersPerNode, ringBytes } = options;
    const shape = { node, numNodes, workersPerNode, ringBytes };
    removeStaleSegments();
    return new DataPlane(ShmSegment.create(options.runId, options.generation, shape), options);
  }

  /** Path of the segment, to which the workers attach. */
  get segmentPath(): string {
    return this.segment.path;
  }

  /**
   * Opens the streams from all other nodes.
   *
   * @throws TrainerError `NODE_LOST` if one is not open within `timeoutMs`
   */
  connect(peers: readonly PeerAddress[], timeoutMs: number): Promise<void> {
    return this.#streams.connect(peers, timeoutMs);
  }

  /** Reads a worker's progress from the segment; `pid` is 0 until it has attached. */
  progressOf(localRank: number): RankProgress {
    return this.segment.control(localRank).progress;
  }

  /** Epoch of the segment's monotonic clock; see ShmSegment. */
  get monotonicEpochMs(): number {
    return this.segment.monotonicEpochMs;
  }

  /** Returns the record of a worker's last operations, which is readable until `close`. */
  flightOf(localRank: number): FlightRing {
    return this.segment.flight(localRank);
  }

  /** Ends every wait of this node's workers with `ABORTED`; the first reason is kept. */
  abort(reason: string): void {
    this.segment.abort(reason);
  }

  /** Asks the workers to end after their current step. */
  requestStop(): void {
    this.segment.requestStop();
  }

  get stats(): RelayStats {
    return this.#relay.stats;
  }

  #pump(): void {
    this.#relay.sendAll();
    for (let node = 0; node < this.options.numNodes; node++) {
      if (node === this.options.node) continue;
      const consumed = this.#relay.takeCredit(node);
      if (consumed.length > 0) this.#streams.credit(node, consumed);
    }
    if (!this.#unlinked && this.#allAttached()) this.#unlink();
  }

  #allAttached(): boolean {
    for (let local = 0; local < this.options.workersPerNode; local++)
      if (this.segment.control(local).pid === 0) return false;
    return true;
  }

  #unlink(): void {
    this.#unlinked = true;
    this.segment.unlink();
  }

  async #run(): Promise<void> {
    while (!this.#closing) {
      const seen = this.#bell.value;
      this.#bell.arm(1);
      this.#pump();
      await this.#bell.waitAsync(seen, LOOP_MS);
    }
  }

  /** Sends the bytes that workers have left for other nodes, unless aborted; ends the streams and unmaps the segment. */
  close(): Promise<void> {
    this.#closed ??= this.#tearDown();
    return this.#closed;
  }

  async #tearDown(): Promise<void> {
    const deadline = performance.now() + GRACE.drainMs;
    const isDrained = () => this.#relay.drained && this.#streams.isDrained;
    while (!isDrained() && this.segment.abortReason === null && performance.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 5));
    this.#closing = true;
    this.#bell.wake();
    await this.#loop;
    await this.#streams.close();
    this.#relay.close();
    this.#unlink();
    this.segment.close();
  }
}
