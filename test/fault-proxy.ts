import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/**
 * Maximum number of bytes queued in the proxy for each direction of a connection; beyond it, the proxy stops
 * reading.
 */
const QUEUE_BYTES = 4 << 20;
/** A throttled direction sends in pieces that take this long. */
const PIECE_MS = 20;

/** `toTarget`: from the clients to the target of the proxy; `fromTarget`: back. */
export type Direction = 'toTarget' | 'fromTarget';

/** Faults of one direction of all connections. */
class Lane {
  delayMs = 0;
  bytesPerS = Number.POSITIVE_INFINITY;
  isDropping = false;
  corruptsNext = false;
  /** When the throttled link will be free, on the clock of `performance.now()`. */
  #freeMs = 0;

  /** Returns how much longer bytes that arrived at `arrivedMs` have to wait. */
  waitMs(arrivedMs: number): number {
    return Math.max(arrivedMs + this.delayMs, this.#freeMs) - performance.now();
  }

  /** Returns the first bytes that may pass now, corrupted if requested. */
  take(bytes: Buffer): Buffer {
    const most = Math.max(1, Math.floor((this.bytesPerS * PIECE_MS) / 1000));
    const piece = bytes.subarray(0, Math.min(most, bytes.length));
    const now = performance.now();
    this.#freeMs = Math.max(now, this.#freeMs) + (piece.length * 1000) / this.bytesPerS;
    if (!this.corruptsNext) return piece;
    this.corruptsNext = false;
    const corrupted = Buffer.from(piece);
    corrupted[corrupted.length >> 1]! ^= 1;
    return corrupted;
  }

  heal(): void {
    this.delayMs = 0;
    this.bytesPerS = Number.POSITIVE_INFINITY;
    this.isDropping = false;
    this.corruptsNext = false;
    this.#freeMs = 0;
  }
}

/** One direction of one connection. */
class Pipe {
  readonly #queue: { bytes: Buffer; readonly arrivedMs: number }[] = [];
  #queuedBytes = 0;
  #end: 'none' | 'ended' | 'broken' = 'none';
  #timer: NodeJS.Timeout | undefined;

  constructor(
    readonly from: Socket,
    readonly to: Socket,
    private readonly lane: Lane,
  ) {
    from.on('data', (bytes) => {
      this.#queue.push({ bytes, arrivedMs: performance.now() });
      this.#queuedBytes += bytes.length;
      if (this.#queuedBytes >= QUEUE_BYTES) from.pause();
      this.pump();
    });
    from.on('end', () => this.#over('ended'));
    from.on('error', () => this.#over('broken'));
    to.on('drain', () => this.pump());
    to.on('close', () => clearTimeout(this.#timer));
  }

  #over(end: 'ended' | 'broken'): void {
    this.#end = end;
    this.pump();
  }

  /** Forwards what may pass by now; called again whenever that may have changed. */
  pump(): void {
    clearTimeout(this.#timer);
    const { from, to, lane } = this;
    if (lane.isDropping || to.destroyed) return;
    if (this.#end === 'broken') {
      to.resetAndDestroy();
      return;
    }
    for (let head = this.#queue[0]; head !== undefined; head = this.#queue[0]) {
      if (to.writableNeedDrain) return;
      const waitMs = lane.waitMs(head.arrivedMs);
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.pump(), waitMs);
        return;
      }
      const piece = lane.take(head.bytes);
      if (piece.length === head.bytes.length) this.#queue.shift();
      else head.bytes = head.bytes.subarray(piece.length);
      this.#queuedBytes -= piece.length;
      to.write(piece);
      if (this.#queuedBytes < QUEUE_BYTES) from.resume();
    }
    if (this.#end === 'ended') to.end();
  }
}

/**
 * A TCP proxy to a port of this machine that disturbs its connections as networks do. Settings apply to
 * existing and new connections, in one direction or both, until `heal`.
 */
export class FaultProxy {
  readonly #lanes: Readonly<Record<Direction, Lane>> = { toTarget: new Lane(), fromTarget: new Lane() };
  readonly #pipes = new Set<Pipe>();
  readonly port: number;

  private constructor(
    private readonly server: Server,
    target: number,
  ) {
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', (socket) => this.#join(socket, target));
  }

  /** @param port port of the proxy; a free one by default */
  static async to(target: number, port = 0): Promise<FaultProxy> {
    const server = createServer({ allowHalfOpen: true });
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return new FaultProxy(server, target);
  }

  /** Delays every byte by `ms`. */
  delay(ms: number, direction?: Direction): void {
    this.#set(direction, (lane) => {
      lane.delayMs = ms;
    });
  }

  /** Limits the rate of all connections together. */
  throttle(bytesPerS: number, direction?: Direction): void {
    this.#set(direction, (lane) => {
      lane.bytesPerS = bytesPerS;
    });
  }

  /**
   * Lets nothing pass, not even the end of a connection, without notifying either side. What TCP would
   * retransmit arrives after `heal`.
   */
  drop(direction?: Direction): void {
    this.#set(direction, (lane) => {
      lane.isDropping = true;
    });
  }

  /** Flips a bit of the next bytes that pass, once. */
  corrupt(direction?: Direction): void {
    this.#set(direction, (lane) => {
      lane.corruptsNext = true;
    });
  }

  /** Breaks all connections, as a restarted router does; new ones can be made. */
  reset(): void {
    for (const { from } of this.#pipes) if (!from.destroyed) from.resetAndDestroy();
  }

  /** Lets everything pass undisturbed again. */
  heal(): void {
    this.#set(undefined, (lane) => lane.heal());
  }

  /** Ends the proxy and all its connections. */
  async close(): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    for (const { from } of this.#pipes) from.destroy();
    await closed;
  }

  #set(direction: Direction | undefined, change: (lane: Lane) => void): void {
    for (const each of direction === undefined ? (['toTarget', 'fromTarget'] as const) : [direction])
      change(this.#lanes[each]);
    for (const pipe of this.#pipes) pipe.pump();
  }

  #join(caller: Socket, target: number): void {
    const callee = connect({ port: target, host: '127.0.0.1', allowHalfOpen: true });
    for (const pipe of [
      new Pipe(caller, callee, this.#lanes.toTarget),
      new Pipe(callee, caller, this.#lanes.fromTarget),
    ]) {
      this.#pipes.add(pipe);
      pipe.to.on('close', () => this.#pipes.delete(pipe));
    }
  }
}
