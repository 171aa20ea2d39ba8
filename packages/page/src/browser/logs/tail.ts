import { type LokiStream, tailUrl } from '../loki.js';
import type { LogLine } from './log-line.js';
import { linesOf } from './log-lines.js';

/** Buffered lines while the tail is paused or the page is hidden; beyond it the oldest are dropped. */
const MAX_WAITING = 5_000;
const FLUSH_INTERVAL_MS = 150;
const RETRY_MS = [500, 1_000, 2_000, 5_000];

export type TailStatus = 'connecting' | 'live' | 'retrying' | 'refused';

interface TailMessage {
  readonly streams?: readonly LokiStream[];
  readonly dropped_entries?: readonly { readonly timestamp: string }[] | null;
}

export interface TailListener {
  /** New lines, oldest first. */
  lines(lines: readonly LogLine[]): void;
  status(status: TailStatus, numDropped: number): void;
}

/** Client of Loki's tail. Reconnects after a lost connection, from the last line received. */
export class Tail {
  #socket: WebSocket | null = null;
  #waiting: LogLine[] = [];
  #isPaused = false;
  #isClosed = false;
  #numDropped = 0;
  #numFailures = 0;
  #wasOpen = false;
  /** ns since 1970; where the next connection begins. */
  #start: bigint;
  #retry: ReturnType<typeof setTimeout> | undefined;
  readonly #flushTimer: ReturnType<typeof setInterval>;
  #status: TailStatus = 'connecting';

  /** @param start ns since 1970; the tail begins with the lines from then on */
  constructor(
    private readonly query: string,
    start: bigint,
    private readonly listener: TailListener,
  ) {
    this.#start = start;
    this.#flushTimer = setInterval(() => this.#flush(), FLUSH_INTERVAL_MS);
    this.#connect();
  }

  get numWaiting(): number {
    return this.#waiting.length;
  }

  set paused(isPaused: boolean) {
    this.#isPaused = isPaused;
    this.#flush();
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#flushTimer);
    clearTimeout(this.#retry);
    this.#socket?.close();
  }

  #connect(): void {
    const socket = new WebSocket(tailUrl(this.query, this.#start, location.href));
    this.#socket = socket;
    this.#wasOpen = false;
    socket.addEventListener('open', () => {
      this.#wasOpen = true;
      this.#numFailures = 0;
      this.#setStatus('live');
    });
    socket.addEventListener('message', ({ data }) => this.#receive(JSON.parse(data)));
    socket.addEventListener('close', () => {
      if (this.#isClosed) return;
      const delay = RETRY_MS[Math.min(this.#numFailures++, RETRY_MS.length - 1)];
      // Never accepted: a bad query, say, which a retry does not help.
      if (!this.#wasOpen && this.#numFailures > RETRY_MS.length) return this.#setStatus('refused');
      this.#setStatus('retrying');
      this.#retry = setTimeout(() => this.#connect(), delay);
    });
  }

  #receive({ streams = [], dropped_entries: dropped }: TailMessage): void {
    const lines = linesOf(streams).sort((a, b) => a.timeMs - b.timeMs);
    const newest = lines.at(-1);
    if (newest !== undefined && BigInt(newest.ns) >= this.#start) this.#start = BigInt(newest.ns) + 1n;
    this.#waiting.push(...lines);
    const surplus = this.#waiting.length - MAX_WAITING;
    if (surplus > 0) this.#waiting.splice(0, surplus);
    const lost = Math.max(0, surplus) + (dropped?.length ?? 0);
    if (lost === 0) return;
    this.#numDropped += lost;
    this.#setStatus(this.#status);
  }

  #flush(): void {
    if (this.#isPaused || this.#waiting.length === 0 || document.hidden) return;
    const lines = this.#waiting;
    this.#waiting = [];
    this.listener.lines(lines);
  }

  #setStatus(status: TailStatus): void {
    this.#status = status;
    this.listener.status(status, this.#numDropped);
  }
}
