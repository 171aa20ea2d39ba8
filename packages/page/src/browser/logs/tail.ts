import { formatCount } from '../format.js';
import { type LokiStream, tailUrl } from '../loki.js';
import { type LogLine, linesOf } from './log-line.js';

/** The tail begins with lines that are up to this old. */
const BACKFILL_MS = 10_000;
const REFRESH_MS = 4_000;
/**
 * Maximum number of lines buffered while the tail is paused or the page is hidden; older ones are dropped.
 */
const MAX_WAITING = 5_000;
const FLUSH_INTERVAL_MS = 150;
const RETRY_MS = [500, 1_000, 2_000, 5_000];

interface TailMessage {
  readonly streams?: readonly LokiStream[];
  readonly dropped_entries?: readonly { readonly timestamp: string }[] | null;
}

export interface TailListener {
  /** Called with new lines, oldest first. */
  lines(lines: readonly LogLine[]): void;
  /** Called with a status; empty while the tail is connected and complete. */
  status(text: string): void;
  refused(): void;
  /** Called every few seconds: counts and volume have changed. */
  refresh(): void;
}

/** Follows a query over Loki's WebSocket. Reconnects after a lost connection, from the last line received. */
export class Tail {
  /** The query that is followed; null while nothing is followed. */
  #query: string | null = null;
  #socket: WebSocket | null = null;
  #waiting: LogLine[] = [];
  #isPaused = false;
  #numDropped = 0;
  #numFailures = 0;
  /** Where the next connection begins: ms since 1970, or the ns after the last line. */
  #start: number | bigint = 0;
  #timers: readonly ReturnType<typeof setTimeout>[] = [];
  #connection = '';

  constructor(private readonly listener: TailListener) {}

  get isRunning(): boolean {
    return this.#query !== null;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Number of lines received while paused. */
  get numWaiting(): number {
    return this.#waiting.length;
  }

  start(query: string): void {
    this.stop();
    this.#query = query;
    this.#start = Date.now() - BACKFILL_MS;
    this.#connect(query);
    this.listener.refresh();
    this.#timers = [
      setInterval(() => this.#flush(), FLUSH_INTERVAL_MS),
      setInterval(() => this.listener.refresh(), REFRESH_MS),
    ];
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
    const socket = this.#socket;
    this.#query = null;
    this.#socket = null;
    socket?.close();
    this.#waiting = [];
    this.#isPaused = false;
    this.#numDropped = 0;
    this.#numFailures = 0;
    this.#tell('');
  }

  togglePause(): void {
    this.#isPaused = this.isRunning && !this.#isPaused;
    this.#flush();
  }

  #connect(query: string): void {
    const socket = new WebSocket(tailUrl(query, this.#start, location.href));
    let wasOpen = false;
    this.#socket = socket;
    socket.addEventListener('open', () => {
      wasOpen = true;
      this.#numFailures = 0;
      this.#tell('');
    });
    socket.addEventListener('message', ({ data }) => this.#receive(JSON.parse(data)));
    socket.addEventListener('close', () => {
      // The tail was stopped, or another socket has replaced this one.
      if (this.#socket !== socket) return;
      const delay = RETRY_MS[this.#numFailures++];
      // The connection was never accepted, perhaps because of a bad query, so that retries would not help.
      const isRefused = !wasOpen && delay === undefined;
      this.#tell(isRefused ? 'refused' : 'reconnecting');
      if (isRefused) this.listener.refused();
      else
        setTimeout(() => {
          if (this.#socket === socket) this.#connect(query);
        }, delay ?? RETRY_MS.at(-1));
    });
  }

  #receive({ streams = [], dropped_entries: dropped }: TailMessage): void {
    const lines = linesOf(streams).sort((a, b) => a.timeMs - b.timeMs);
    const newest = lines.at(-1);
    const next = newest && BigInt(newest.ns) + 1n;
    if (next && (typeof this.#start === 'number' || next > this.#start)) this.#start = next;
    this.#waiting.push(...lines);
    const surplus = Math.max(0, this.#waiting.length - MAX_WAITING);
    this.#waiting.splice(0, surplus);
    const lost = surplus + (dropped?.length ?? 0);
    this.#numDropped += lost;
    if (lost > 0) this.#tell(this.#connection);
  }

  #flush(): void {
    if (this.#isPaused || this.#waiting.length === 0 || document.hidden) return;
    const lines = this.#waiting;
    this.#waiting = [];
    this.listener.lines(lines);
  }

  /** @param connection what is wrong with the connection; empty if nothing is */
  #tell(connection: string): void {
    this.#connection = connection;
    const lost = this.#numDropped;
    const dropped = lost > 0 ? `${formatCount(lost)} lines dropped: too many to follow` : '';
    this.listener.status([connection, dropped].filter(Boolean).join(', '));
  }
}
