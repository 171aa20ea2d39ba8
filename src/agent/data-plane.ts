import type { RankProgress } from '../collectives/control-block.js';
import type { Doorbell } from '../collectives/doorbell.js';
import type { FlightRing } from '../collectives/flight-ring.js';
import { removeStaleSegments } from '../collectives/segment-files.js';
import type { SegmentShape } from '../collectives/shm-layout.js';
import { ShmSegment } from '../collectives/shm-segment.js';
import { GRACE } from '../config/timeouts.js';
import { asTrainerError, type TrainerError } from '../errors.js';
import { NO_SECURITY, type Security } from '../rpc/security.js';
import type { FaultyConnection, FaultyLink } from './faulty-link.js';
import { LinkLimit, type LinkSpeed } from './link-limit.js';
import { type PeerAddress, PeerStreams, type PeerStreamsOptions } from './peer-streams.js';
import { type RelayStats, RingRelay, type SendFrame } from './ring-relay.js';

/** Longest sleep of the relay loop, which bounds the cost of a lost wake-up. */
const LOOP_MS = 100;
/** Approximate size of a grant of credit on a slow link. */
const CREDIT_BYTES = 40;

export interface DataPlaneOptions
  extends SegmentShape,
    Pick<PeerStreamsOptions, 'runId' | 'generation' | 'keepaliveMs' | 'server' | 'findDirect' | 'onError'> {
  /** How the streams to other nodes are read; direct by default. */
  readonly stream?: 'direct' | 'grpc-js' | undefined;
  /** Limit on each stream to another node; null for none. */
  readonly interNodeLink: LinkSpeed | null;
  /** Injects faults into all traffic with other nodes; null or undefined for none. */
  readonly faultyLink?: FaultyLink | null;
  /** Credentials for connections to the other agents; plain text by default. */
  readonly security?: Security;
}

/**
 * The agent's side of all collectives of one generation: owns the node's shared-memory segment, which its
 * workers attach by `segmentPath`, and moves bytes between it and the streams to the other nodes. Order of
 * calls: `create`; start the workers; `connect` once every agent listens; `close` after the workers have
 * ended. The segment is unlinked as soon as all workers have attached, so nothing is left behind however the
 * processes end.
 */
export class DataPlane {
  readonly #relay: RingRelay;
  readonly #streams: PeerStreams;
  readonly #bell: Doorbell;
  readonly #limits = new Map<number, { limit: LinkLimit<Buffer>; send: SendFrame }>();
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
    const streams: PeerListener = {
      onPull: (node, send) => this.#startSending(node, send),
      onFrame: (node, frame) => {
        if (!this.#closing) this.#relay.deliver(node, frame);
      },
      onCredit: (node, consumed) => {
        if (this.#closing) return;
        this.#relay.credit(node, consumed);
        this.#pumpNow();
      },
    };
    const link = options.faultyLink ?? null;
    this.#streams = new PeerStreams({
      security: NO_SECURITY,
      ...options,
      ...(link === null
        ? {
            ...streams,
            receiver: options.stream === 'grpc-js' ? undefined : (node) => this.#relay.receiver(node),
          }
        : behind(link, streams, options.onError)),
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

  #startSending(node: number, send: SendFrame): void {
    const { interNodeLink } = this.options;
    if (interNodeLink === null) this.#relay.open(node, send);
    else {
      const limit = new LinkLimit<Buffer>(interNodeLink, () => performance.now());
      this.#limits.set(node, { limit, send });
      this.#relay.open(node, (parts, done) => {
        const encoded = Buffer.concat(parts);
        done();
        limit.push(encoded, encoded.length);
      });
    }
    this.#pumpNow();
  }

  /** Pumps outside the loop, and wakes it: frames on a limited link may fall due before it would wake by itself. */
  #pumpNow(): void {
    if (this.#closing) return;
    this.#pump();
    if (this.#limits.size > 0) this.#bell.wake();
  }

  #pump(): void {
    this.#relay.sendAll();
    for (const { limit, send } of this.#limits.values())
      for (const encoded of limit.takeDue()) send([encoded], () => undefined);
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
      let sleepMs = LOOP_MS;
      for (const { limit } of this.#limits.values()) sleepMs = Math.min(sleepMs, limit.dueInMs);
      await this.#bell.waitAsync(seen, sleepMs);
    }
  }

  get #drained(): boolean {
    const onTheWay = [...this.#limits.values()].some(({ limit }) => Number.isFinite(limit.dueInMs));
    return this.#relay.drained && !onTheWay;
  }

  /**
   * Sends the bytes that workers have left for other nodes, unless aborted; ends the streams and unmaps the segment.
   */
  close(): Promise<void> {
    this.#closed ??= this.#tearDown();
    return this.#closed;
  }

  async #tearDown(): Promise<void> {
    const deadline = performance.now() + GRACE.drainMs;
    while (!this.#drained && this.segment.abortReason === null && performance.now() < deadline)
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

type PeerListener = Pick<PeerStreamsOptions, 'onPull' | 'onFrame' | 'onCredit'>;

/** Wraps a listener so that `link` delays everything received, and all frames sent. */
function behind(
  link: FaultyLink,
  streams: PeerListener,
  onError: (error: TrainerError) => void,
): PeerListener {
  const connections = new Map<string, FaultyConnection>();
  const pass = (name: string, bytes: number, deliver: () => void) => {
    let connection = connections.get(name);
    if (connection === undefined) {
      connection = link.connection();
      connections.set(name, connection);
    }
    connection.pass(bytes, () => {
      try {
        deliver();
      } catch (error) {
        onError(asTrainerError(error));
      }
    });
  };
  return {
    onPull: (node, send) =>
      streams.onPull(node, (parts, done) => {
        const encoded = Buffer.concat(parts);
        done();
        pass(`to ${node}`, encoded.length, () => send([encoded], () => undefined));
      }),
    onFrame: (node, frame) => pass(`from ${node}`, frame.payload.length, () => streams.onFrame(node, frame)),
    onCredit: (node, consumed) => pass(`from ${node}`, CREDIT_BYTES, () => streams.onCredit(node, consumed)),
  };
}
