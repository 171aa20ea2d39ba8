import type { PrepareProgress } from '../data/progress-meter.js';
import type { Screen } from './progress-view.js';

const PLAIN_INTERVAL_MS = 10_000;
const LIVE_INTERVAL_MS = 100;
const BAR_CHARS = 24;

/** Shows how far a preparation of text is: one line rewritten in a terminal, a line every ten seconds elsewhere. */
export class PreparationView {
  #isLive = false;
  #shownAtMs: number;

  constructor(
    readonly screen: Screen,
    readonly nowMs: () => number = () => performance.now(),
  ) {
    // Elsewhere than in a terminal, what takes less than an interval shows nothing.
    this.#shownAtMs = screen.isTTY ? Number.NEGATIVE_INFINITY : nowMs();
  }

  readonly say = (line: string): void => {
    this.screen.write(`${this.#isLive ? '\r\x1b[2K' : ''}${line}\n`);
    this.#isLive = false;
  };

  readonly progress = (progress: PrepareProgress): void => {
    const { isTTY } = this.screen;
    const now = this.nowMs();
    if (now - this.#shownAtMs < (isTTY ? LIVE_INTERVAL_MS : PLAIN_INTERVAL_MS)) return;
    this.#shownAtMs = now;
    const text = `data: ${describe(progress)}`;
    if (!isTTY) {
      this.say(text);
      return;
    }
    this.screen.write(`\r\x1b[2K${`${text} ${bar(progress)}`.slice(0, this.screen.columns() - 1)}`);
    this.#isLive = true;
  };
}

function describe({ doneBytes, totalBytes, bytesPerS, secondsLeft }: PrepareProgress): string {
  const mega = (bytes: number) => (bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0);
  const left = secondsLeft === null ? '' : `, ${formatLeft(secondsLeft)} left`;
  return `${mega(doneBytes)} of ${mega(totalBytes)} MB, ${mega(bytesPerS)} MB/s${left}`;
}

function formatLeft(seconds: number): string {
  return seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`;
}

function bar({ doneBytes, totalBytes }: PrepareProgress): string {
  const full = Math.round((BAR_CHARS * doneBytes) / Math.max(totalBytes, 1));
  return `[${'#'.repeat(full).padEnd(BAR_CHARS, '.')}]`;
}

/** What prepares text on the way to something else tells of it here. */
export function preparationViewOn(stream: NodeJS.WriteStream): PreparationView {
  return new PreparationView({
    isTTY: stream.isTTY === true,
    columns: () => stream.columns ?? 80,
    write: (text) => stream.write(text),
  });
}
