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
/** A client that answers no ping for this long is gone. */
const SILENCE_MS = 30_000;
/** What may wait for a client in bytes; lines beyond are dropped and counted. */
const MAX_UNSENT_BYTES = 1 << 20;
/** How long a burst may take to pass before its lines are dropped; meanwhile they wait in their files. */
const BURST_MS = 500;
const BURST_POLL_MS = 10;
/** A client that is behind for this long is cut off. */
const BEHIND_MS = 10_000;
const MAX_ENTRIES_A_MESSAGE = 500;
/** Dropped lines that a message names; more are only counted by being absent. */
const MAX_DROPPED_NAMED = 1_000;
const MAX_TAILS = 32;
const MAX_DELAY_S = 5;
const CLOSED_BY_POLICY = 1008;
const TRY_AGAIN_LATER = 1013;
const MAX_REASON_BYTES = 120;

interface Dropped {
  readonly labels: Readonly<Record<string, string>>;
  readonly timestamp: string;
}

/** The WebSocket of `/loki/api/v1/tail`: past lines up to a limit, then lines as they come. */
export class Tails {
  readonly #open = new Set<Tail>();

  constructor(readonly engine: LogEngine) {}

  readonly handle: SocketHandler = (socket, request) => {
    if (this.#open.size >= MAX_TAILS) {
      socket.close(TRY_AGAIN_LATER, `max concurrent tail requests limit exceeded (${MAX_TAILS})`);
      return;
    }
    const tail = new Tail(this.engine, socket, () => this.#open.delete(tail));
    this.#open.add(tail);
    void tail.start(request);
  };

  close(): void {
    for (const tail of this.#open) tail.end();
  }
}

/** One client. It is never waited for. */
class Tail {
  #follower: Follower | null = null;
  #dropped: Dropped[] = [];
  #behindSinceMs: number | null = null;
  #heardMs = performance.now();
  readonly #cancelled = new AbortController();
  readonly #ping = setInterval(() => this.#watch(), PING_INTERVAL_MS);

  constructor(
    readonly engine: LogEngine,
    readonly socket: WebSocket,
    readonly onEnd: () => void,
  ) {
    socket.on('pong', () => {
      this.#heardMs = performance.now();
    });
    socket.on('close', () => this.end());
  }

  async start(request: IncomingMessage): Promise<void> {
    try {
      const parameters = new Parameters(new URL(request.url ?? '/', 'http://localhost').searchParams);
      const query = parseLogQuery(parameters.query);
      // Taken and not needed: files are ordered by what has come, and late lines come late.
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
      // What is newer than now by another clock belongs to it too.
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
    this.onEnd();
  }

  #refuse(error: unknown): void {
    if (this.#cancelled.signal.aborted) return;
    const reason = Buffer.from(messageOf(error)).subarray(0, MAX_REASON_BYTES).toString();
    // A character cut in half would make the reason longer than it may be.
    this.socket.close(CLOSED_BY_POLICY, reason.replace(/\ufffd+$/, ''));
    this.end();
  }

  async #send(entries: readonly LogEntry[]): Promise<void> {
    for (let at = 0; at < entries.length; at += MAX_ENTRIES_A_MESSAGE) {
      const batch = entries.slice(at, at + MAX_ENTRIES_A_MESSAGE);
      // Who is behind already gets no more time.
      if (this.#isFull && this.#behindSinceMs === null) await this.#pass();
      if (this.#cancelled.signal.aborted) return;
      if (this.#isFull) this.#drop(batch);
      else {
        this.#behindSinceMs = null;
        this.#write(batch);
      }
    }
  }

  get #isFull(): boolean {
    return this.socket.bufferedAmount > MAX_UNSENT_BYTES;
  }

  async #pass(): Promise<void> {
    const deadline = performance.now() + BURST_MS;
    while (this.#isFull && performance.now() < deadline) await sleep(BURST_POLL_MS);
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
    this.#behindSinceMs ??= performance.now();
    for (const { labels, ...at } of batch.slice(0, MAX_DROPPED_NAMED - this.#dropped.length))
      this.#dropped.push({ labels: Object.fromEntries(labels), timestamp: nsText(at) });
  }

  #watch(): void {
    const now = performance.now();
    if (this.#behindSinceMs !== null && !this.#isFull) {
      this.#behindSinceMs = null;
      this.#write([]);
    }
    const isBehind = this.#behindSinceMs !== null && now - this.#behindSinceMs > BEHIND_MS;
    if (now - this.#heardMs > SILENCE_MS || isBehind) {
      this.socket.terminate();
      this.end();
    } else this.socket.ping();
  }
}
