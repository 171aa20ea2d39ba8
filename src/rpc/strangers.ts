import type { Socket } from 'node:net';
import { formatCount, formatNumberOf } from '../format.js';
import { CONNECTION_LIMITS } from './connection-limits.js';

const SWEEP_MS = 100;
const LINE_INTERVAL_MS = 10_000;

/** The open connections of a server without an accepted call. They are closed if they are too many or exceed a limit. */
export class Strangers {
  /** By the client's address, oldest first. */
  readonly #open = new Map<string, { readonly socket: Socket; readonly sinceMs: number }>();
  /** Number of connections that were closed since the last line, by reason, and in all. */
  readonly #closed = new Map<string, number>();
  #numClosed = 0;
  #last = '';
  #saidMs = Number.NEGATIVE_INFINITY;
  #sweeps: NodeJS.Timeout | undefined;

  /** @param warn takes a line with the number of closed connections, at most one in 10 s */
  constructor(private readonly warn: (line: string) => void) {}

  get size(): number {
    return this.#open.size;
  }

  add(socket: Socket): void {
    const peer = `${socket.remoteAddress}:${socket.remotePort}`;
    const entry = { socket, sinceMs: performance.now() };
    // An earlier connection from this port has ended, but its socket may not have noticed yet.
    this.#open.delete(peer);
    this.#open.set(peer, entry);
    socket.once('close', () => this.#open.get(peer) === entry && this.#open.delete(peer));
    this.#sweeps ??= setInterval(() => this.#sweep(), SWEEP_MS).unref();
    const { strangers } = CONNECTION_LIMITS;
    const [oldest] = this.#open.keys();
    if (this.#open.size > strangers) this.#close(oldest!, `over the limit of ${strangers}`);
  }

  /** Lifts the limits of a connection, which has an accepted call. */
  accept(peer: string): void {
    this.#open.delete(peer);
  }

  closeAll(): void {
    clearInterval(this.#sweeps);
    for (const { socket } of this.#open.values()) socket.destroy();
  }

  #sweep(): void {
    const { acceptMs, acceptBytes, strangersUntold } = CONNECTION_LIMITS;
    const now = performance.now();
    for (const [peer, { socket, sinceMs }] of this.#open)
      if (now - sinceMs > acceptMs) this.#close(peer, `after ${acceptMs / 1000} s`);
      else if (socket.bytesRead > acceptBytes) this.#close(peer, `after ${formatCount(acceptBytes)} bytes`);
    if (this.#numClosed > strangersUntold && now - this.#saidMs > LINE_INTERVAL_MS) {
      this.#saidMs = now;
      this.#warn();
    }
  }

  #close(peer: string, why: string): void {
    this.#open.get(peer)?.socket.destroy();
    this.#open.delete(peer);
    this.#closed.set(why, (this.#closed.get(why) ?? 0) + 1);
    this.#numClosed++;
    this.#last = peer;
  }

  #warn(): void {
    const reasons = [...this.#closed].map(([why, count]) => `${formatCount(count)} ${why}`);
    this.warn(
      `closed ${formatNumberOf(this.#numClosed, 'connection')} without an accepted call (${reasons.join(', ')}), the last from ${this.#last}`,
    );
    this.#closed.clear();
    this.#numClosed = 0;
  }
}
