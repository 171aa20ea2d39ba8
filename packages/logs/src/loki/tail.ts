import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { WebSocket } from 'ws';
import { messageOf } from '../errors.js';
import type { SocketHandler } from '../http/http-server.js';
import type { LogQuery } from '../logql/ast.js';
import { Follower } from '../logql/follower.js';
import type { LogEngine } from '../logql/log-engine.js';
import { type LogEntry, take } from '../logql/log-entries.js';
import { parseLogQuery } from '../logql/parse.js';
import { instantOfMs, nsText } from '../store/instant.js';
import { Parameters } from './parameters.js';
import { toStreams } from './shapes.js';

const PING_INTERVAL_MS = 1_000;
/** A client without a pong for this long is disconnected. */
const PONG_TIMEOUT_MS = 30_000;
/** Send buffer of a client. */
const MAX_UNSENT_BYTES = 1 << 20;
/** How long a full buffer may take to drain before lines are dropped. */
const DRAIN_MS = 500;
const DRAIN_POLL_MS = 10;
/** A client whose lines are dropped for this long is disconnected. */
const LAG_TIMEOUT_MS = 10_000;
const MAX_ENTRIES_PER_MESSAGE = 500;
/** Most `dropped_entries` of a message. */
const MAX_DROPPED_ENTRIES = 1_000;
const MAX_TAILS = 32;
const MAX_DELAY_S = 5;
const CLOSED_BY_POLICY = 1008;
const TRY_AGAIN_LATER = 1013;
const MAX_REASON_BYTES = 120;

interface Dropped {
  readonly labels: Readonly<Record<string, string>>;
  readonly timestamp: string;
}

interface TailListener {
  ended(): void;
  dropped(count: number): void;
}

/** `/loki/api/v1/tail`: sends past lines up to the limit, then new lines as they are written. */
export class Tails {
  readonly #open = new Set<Tail>();
  #numDropped = 0;

  constructor(readonly engine: LogEngine) {}

  get numOpen(): number {
    return this.#open.size;
  }

  /** Lines that slow clients did not get. */
  get numDropped(): number {
    return this.#numDropped;
  }

  readonly handle: SocketHandler = (socket, request) => {
    if (this.#open.size >= MAX_TAILS) {
      socket.close(TRY_AGAIN_LATER, `max concurrent tail requests limit exceeded (${MAX_TAILS})`);
      return;
    }
    const tail = new Tail(this.engine, socket, {
      ended: () => this.#open.delete(tail),
      dropped: (count) => {
        this.#numDropped += count;
      },
    });
    this.#open.add(tail);
    void tail.start(request);
  };

  close(): void {
    for (const tail of this.#open) tail.end();
  }
}

/** One client. The log is never held up for it: a slow client loses lines. */
class Tail {
  #follower: Follower | null = null;
  #dropped: Dropped[] = [];
  #laggingSinceMs: number | null = null;
  #pongMs = performance.now();
  readonly #cancelled = new AbortController();
  readonly #ping = setInterval(() => this.#checkClient(), PING_INTERVAL_MS);

  constructor(
    readonly engine: LogEngine,
    readonly socket: WebSocket,
    readonly listener: TailListener,
  ) {
    socket.on('pong', () => {
      this.#pongMs = performance.now();
    });
    socket.on('close', () => this.end());
  }

  async start(request: IncomingMessage): Promise<void> {
    try {
      const parameters = new Parameters(new URL(request.url ?? '/', 'http://localhost').searchParams);
      const query = parseLogQuery(parameters.query);
      // Validated but unused: lines are sent in the order in which they arrive.
      parameters.wholeNumber('delay_for', 1, MAX_DELAY_S);
      await this.#begin(query, parameters);
    } catch (error) {
      this.#refuse(error);
    }
  }

  async #begin(query: LogQuery, parameters: Parameters): Promise<void> {
    const { limit, range } = parameters;
    const views = await this.engine.open(query.matchers, Number.NEGATIVE_INFINITY);
    const past = this.engine.linesOf(
      views,
      query,
      // Open-ended: another node's clock may be ahead.
      { start: range.start, end: instantOfMs(Number.MAX_SAFE_INTEGER) },
      'backward',
      { signal: this.#cancelled.signal },
    );
    const entries = await take(past, limit);
    if (this.#cancelled.signal.aborted) return;
    await this.#send(entries.reverse());
    if (this.#cancelled.signal.aborted) return;
    this.#follower = new Follower(this.engine, query, views, {
      lines: (lines) => this.#send(lines),
      failed: (error) => this.#refuse(error),
    });
  }

  end(): void {
    clearInterval(this.#ping);
    this.#cancelled.abort();
    this.#follower?.close();
    this.listener.ended();
  }

  #refuse(error: unknown): void {
    if (this.#cancelled.signal.aborted) return;
    const reason = Buffer.from(messageOf(error)).subarray(0, MAX_REASON_BYTES).toString();
    // A character cut in half decodes to U+FFFD, which is longer.
    this.socket.close(CLOSED_BY_POLICY, reason.replace(/\ufffd+$/, ''));
    this.end();
  }

  async #send(entries: readonly LogEntry[]): Promise<void> {
    for (let at = 0; at < entries.length; at += MAX_ENTRIES_PER_MESSAGE) {
      const batch = entries.slice(at, at + MAX_ENTRIES_PER_MESSAGE);
      // A client that already loses lines is not waited for again.
      if (this.#isFull && this.#laggingSinceMs === null) await this.#drained();
      if (this.#cancelled.signal.aborted) return;
      if (this.#isFull) this.#drop(batch);
      else {
        this.#laggingSinceMs = null;
        this.#write(batch);
      }
    }
  }

  get #isFull(): boolean {
    return this.socket.bufferedAmount > MAX_UNSENT_BYTES;
  }

  async #drained(): Promise<void> {
    const deadline = performance.now() + DRAIN_MS;
    while (this.#isFull && performance.now() < deadline) await sleep(DRAIN_POLL_MS);
  }

  #write(batch: readonly LogEntry[]): void {
    const dropped = this.#dropped;
    this.#dropped = [];
    this.socket.send(
      JSON.stringify({
        streams: toStreams(batch),
        dropped_entries: dropped.length === 0 ? null : dropped,
      }),
    );
  }

  #drop(batch: readonly LogEntry[]): void {
    this.#laggingSinceMs ??= performance.now();
    this.listener.dropped(batch.length);
    for (const { labels, ...at } of batch.slice(0, MAX_DROPPED_ENTRIES - this.#dropped.length))
      this.#dropped.push({ labels: Object.fromEntries(labels), timestamp: nsText(at) });
  }

  #checkClient(): void {
    const now = performance.now();
    if (this.#laggingSinceMs !== null && !this.#isFull) {
      this.#laggingSinceMs = null;
      this.#write([]);
    }
    const isLagging = this.#laggingSinceMs !== null && now - this.#laggingSinceMs > LAG_TIMEOUT_MS;
    if (now - this.#pongMs > PONG_TIMEOUT_MS || isLagging) {
      this.socket.terminate();
      this.end();
    } else this.socket.ping();
  }
}
