import { formatCount } from '../format.js';
import { nsOfMs } from '../loki.js';
import type { LogLine } from './log-line.js';
import { Tail, type TailStatus } from './tail.js';

/** The tail begins with the lines of this time before now. */
const BACKFILL_MS = 10_000;
const REFRESH_MS = 4_000;

export interface LiveTailListener {
  /** New lines, oldest first. */
  lines(lines: readonly LogLine[]): void;
  /** Empty while the tail is connected and complete. */
  status(text: string): void;
  refused(): void;
  /** Called every few seconds: counts and volume have changed. */
  refresh(): void;
}

/** Starts, pauses and stops the live tail of the log view. */
export class LiveTail {
  #tail: Tail | null = null;
  #isPaused = false;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(private readonly listener: LiveTailListener) {}

  get isRunning(): boolean {
    return this.#tail !== null;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Lines received while paused. */
  get numWaiting(): number {
    return this.#tail?.numWaiting ?? 0;
  }

  start(query: string): void {
    this.stop();
    this.#tail = new Tail(query, nsOfMs(Date.now() - BACKFILL_MS), {
      lines: (lines) => this.listener.lines(lines),
      status: (status, numDropped) => {
        this.listener.status(statusText(status, numDropped));
        if (status === 'refused') this.listener.refused();
      },
    });
    this.listener.refresh();
    this.#timer = setInterval(() => this.listener.refresh(), REFRESH_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#tail?.close();
    this.#tail = null;
    this.#isPaused = false;
    this.listener.status('');
  }

  togglePause(): void {
    if (this.#tail === null) return;
    this.#isPaused = !this.#isPaused;
    this.#tail.paused = this.#isPaused;
  }
}

function statusText(status: TailStatus, numDropped: number): string {
  const connection = status === 'live' ? '' : status === 'retrying' ? 'reconnecting' : status;
  const dropped = numDropped > 0 ? `${formatCount(numDropped)} lines dropped: too many to follow` : '';
  return [connection, dropped].filter(Boolean).join(', ');
}
