import { type LokiStream, tailUrl } from '../loki.js';
import { type LogLine, parseLine } from './log-line.js';

/** Lines that wait for a screen that is paused or slow; older ones are dropped beyond it. */
const MAX_WAITING = 5_000;
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

/** Follows what a query lets through as it is written; connects again, from where it was, when the connection breaks. */
export class Tail {
  #socket: WebSocket | null = null;
  #waiting: LogLine[] = [];
  #isPaused = false;
  #isClosed = false;
  #numDropped = 0;
  #numFailures = 0;
  #wasOpen = false;
  #retry: ReturnType<typeof setTimeout> | undefined;
  readonly #flushTimer: ReturnType<typeof setInterval>;
  #status: TailStatus = 'connecting';

  /** @param start ns since 1970; lines from then on are brought */
  constructor(
    readonly query: string,
    private start: bigint,
    readonly listener: TailListener,
    flushEveryMs = 150,
  ) {
    this.#flushTimer = setInterval(() => this.#flush(), flushEveryMs);
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
    const socket = new WebSocket(tailUrl(this.query, this.start));
    this.#socket = socket;
    this.#wasOpen = false;
    socket.addEventListener('open', () => {
      this.#wasOpen = true;
      this.#numFailures = 0;
      this.#say('live');
    });
    socket.addEventListener('message', ({ data }) => this.#take(JSON.parse(data)));
    socket.addEventListener('close', () => {
      if (this.#isClosed) return;
      const delay = RETRY_MS[Math.min(this.#numFailures++, RETRY_MS.length - 1)];
      // What was refused from the start, a wrong query say, is refused again.
      if (!this.#wasOpen && this.#numFailures > RETRY_MS.length) return this.#say('refused');
      this.#say('retrying');
      this.#retry = setTimeout(() => this.#connect(), delay);
    });
  }

  #take({ streams = [], dropped_entries: dropped }: TailMessage): void {
    const lines = streams
      .flatMap(({ stream, values }) => values.map(([ns, text]) => parseLine(stream, ns, text)))
      .sort((a, b) => a.timeMs - b.timeMs);
    const newest = lines.at(-1);
    if (newest !== undefined && BigInt(newest.ns) >= this.start) this.start = BigInt(newest.ns) + 1n;
    this.#waiting.push(...lines);
    const surplus = this.#waiting.length - MAX_WAITING;
    if (surplus > 0) this.#waiting.splice(0, surplus);
    const lost = Math.max(0, surplus) + (dropped?.length ?? 0);
    if (lost === 0) return;
    this.#numDropped += lost;
    this.#say(this.#status);
  }

  #flush(): void {
    if (this.#isPaused || this.#waiting.length === 0 || document.hidden) return;
    const lines = this.#waiting;
    this.#waiting = [];
    this.listener.lines(lines);
  }

  #say(status: TailStatus): void {
    this.#status = status;
    this.listener.status(status, this.#numDropped);
  }
}
