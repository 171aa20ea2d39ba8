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
import { type Instant, instantOfMs, nsText } from '../store/instant.js';
import { CATEGORIZE_LABELS, ENCODING_FLAGS, invalid, isCategorized, Parameters } from './parameters.js';
import { toStreams } from './shapes.js';

const PING_INTERVAL_MS = 1_000;
/** A client that has sent no pong for this long is disconnected. */
const PONG_TIMEOUT_MS = 30_000;
/** Size limit of a client's send buffer. */
const MAX_UNSENT_BYTES = 1 << 20;
/** How long a full buffer may take to drain before lines are dropped. */
const DRAIN_MS = 500;
const DRAIN_POLL_MS = 10;
/** A client whose lines are dropped for this long is disconnected. */
const LAG_TIMEOUT_MS = 10_000;
const MAX_ENTRIES_PER_MESSAGE = 500;
/** Maximum number of `dropped_entries` in a message. */
const MAX_DROPPED_ENTRIES = 1_000;
const MAX_TAILS = 32;
const MAX_DELAY_S = 5;
const GOING_AWAY = 1001;
const INTERNAL_ERROR = 1011;
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

interface TailRequest {
  readonly query: LogQuery;
  readonly start: Instant;
  readonly limit: number;
  readonly isCategorized: boolean;
}

/** `/loki/api/v1/tail`: sends past lines up to the limit, then new lines as they are written. */
export class Tails {
  readonly #open = new Set<Tail>();
  #numDropped = 0;

  constructor(private readonly engine: LogEngine) {}

  get numOpen(): number {
    return this.#open.size;
  }

  /** Lines that slow clients did not receive. */
  get numDropped(): number {
    return this.#numDropped;
  }

  readonly handle: SocketHandler = (request) => {
    const tailed = readRequest(request);
    return (socket) => {
      if (this.#open.size >= MAX_TAILS) {
        socket.close(TRY_AGAIN_LATER, `max concurrent tail requests limit exceeded (${MAX_TAILS})`);
        return;
      }
      const tail = new Tail(this.engine, socket, tailed, {
        ended: () => this.#open.delete(tail),
        dropped: (count) => {
          this.#numDropped += count;
        },
      });
      this.#open.add(tail);
    };
  };

  /** Sends every client what has been written so far, then closes its socket. */
  async close(): Promise<void> {
    await Promise.all([...this.#open].map((tail) => tail.finish()));
  }
}

/** @throws LogsError `BAD_INPUT` for an invalid parameter */
function readRequest({ url = '/', headers }: IncomingMessage): TailRequest {
  const parameters = new Parameters(new URL(url, 'http://localhost').searchParams);
  // The parameter is checked but not used: lines are sent in the order in which they arrive.
  const delay = parameters.get('delay_for') ?? '0';
  if (!/^\d+$/.test(delay)) throw invalid(`delay_for: ${delay.slice(0, 100)} is not a number of seconds`);
  if (Number(delay) > MAX_DELAY_S) throw invalid(`delay_for can't be greater than ${MAX_DELAY_S}`);
  const { limit, range } = parameters;
  return {
    query: parseLogQuery(parameters.query),
    start: range.start,
    limit,
    // A browser cannot set headers for a WebSocket, so the flags may be in the address.
    isCategorized: isCategorized([headers[ENCODING_FLAGS] ?? parameters.get(ENCODING_FLAGS)].flat().join()),
  };
}

/** One client. The log never waits for a client: a slow one loses lines. */
class Tail {
  #follower: Follower | null = null;
  #dropped: Dropped[] = [];
  #laggingSinceMs: number | null = null;
  #pongMs = performance.now();
  readonly #cancelled = new AbortController();
  readonly #ping = setInterval(() => this.#checkClient(), PING_INTERVAL_MS);
  readonly #begun: Promise<void>;

  constructor(
    private readonly engine: LogEngine,
    private readonly socket: WebSocket,
    private readonly request: TailRequest,
    private readonly listener: TailListener,
  ) {
    socket.on('pong', () => {
      this.#pongMs = performance.now();
    });
    socket.on('close', () => this.#end());
    this.#begun = this.#begin().catch((error) => this.#fail(error));
  }

  async #begin(): Promise<void> {
    const { query, start, limit } = this.request;
    const views = await this.engine.open(query.matchers, Number.NEGATIVE_INFINITY);
    const past = this.engine.linesOf(
      views,
      query,
      // The range has no end, as another node's clock may be ahead.
      { start, end: instantOfMs(Number.MAX_SAFE_INTEGER) },
      'backward',
      { signal: this.#cancelled.signal },
    );
    const entries = await take(past, limit);
    await this.#send(entries.reverse());
    if (this.#cancelled.signal.aborted) return;
    this.#follower = new Follower(this.engine, query, views, {
      lines: (lines) => this.#send(lines),
      failed: (error) => this.#fail(error),
    });
  }

  /** Sends what has been written so far, then closes the socket. Never rejects. */
  async finish(): Promise<void> {
    await this.#begun;
    await this.#follower?.finish().catch((error) => this.#fail(error));
    if (this.#dropped.length > 0 && !this.#isFull) this.#write([]);
    const { socket } = this;
    if (socket.readyState === socket.CLOSED) return;
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    socket.close(GOING_AWAY, 'the server ends');
    await closed;
  }

  #end(): void {
    clearInterval(this.#ping);
    this.#cancelled.abort();
    this.#follower?.close();
    this.listener.ended();
  }

  #fail(error: unknown): void {
    if (this.#cancelled.signal.aborted) return;
    const reason = Buffer.from(messageOf(error)).subarray(0, MAX_REASON_BYTES).toString();
    // A truncated character decodes to U+FFFD, which is longer.
    this.socket.close(INTERNAL_ERROR, reason.replace(/\ufffd+$/, ''));
    this.#end();
  }

  async #send(entries: readonly LogEntry[]): Promise<void> {
    for (let at = 0; at < entries.length; at += MAX_ENTRIES_PER_MESSAGE) {
      const batch = entries.slice(at, at + MAX_ENTRIES_PER_MESSAGE);
      // A client that is already losing lines is not waited for again.
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
    const { isCategorized } = this.request;
    const dropped = this.#dropped;
    this.#dropped = [];
    this.socket.send(
      JSON.stringify({
        streams: toStreams(batch, isCategorized),
        dropped_entries: dropped.length === 0 ? null : dropped,
        ...(isCategorized ? { encodingFlags: [CATEGORIZE_LABELS] } : {}),
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
      this.#end();
    } else this.socket.ping();
  }
}
