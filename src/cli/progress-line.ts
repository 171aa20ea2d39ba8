import { wrapped } from '../format.js';

const PLAIN_INTERVAL_MS = 10_000;
const LIVE_INTERVAL_MS = 100;
const BAR_CHARS = 24;

/** Terminal or file that progress is shown on. */
export interface Screen {
  readonly isTTY: boolean;
  /** Returns the current width, as a terminal may be resized. */
  readonly columns: () => number;
  write(text: string): void;
}

/** Shows progress: one line rewritten in a terminal, a line every ten seconds elsewhere. */
export class ProgressLine {
  #isLive = false;
  #shownAtMs: number;

  constructor(
    private readonly screen: Screen,
    private readonly nowMs: () => number = () => performance.now(),
  ) {
    // Outside a terminal, work that takes less than an interval prints nothing.
    this.#shownAtMs = screen.isTTY ? Number.NEGATIVE_INFINITY : nowMs();
  }

  /** Prints a permanent line. */
  say(line: string): void {
    this.clear();
    const { isTTY } = this.screen;
    this.screen.write(`${isTTY ? wrapped(line, '  ', this.screen.columns()) : line}\n`);
  }

  /** @param share completed part, 0 to 1 */
  show(text: string, share: number): void {
    const { isTTY } = this.screen;
    const now = this.nowMs();
    if (now - this.#shownAtMs < (isTTY ? LIVE_INTERVAL_MS : PLAIN_INTERVAL_MS)) return;
    this.#shownAtMs = now;
    if (!isTTY) {
      this.say(text);
      return;
    }
    this.screen.write(`\r\x1b[2K${`${text} ${bar(share)}`.slice(0, this.screen.columns() - 1)}`);
    this.#isLive = true;
  }

  clear(): void {
    if (this.#isLive) this.screen.write('\r\x1b[2K');
    this.#isLive = false;
  }
}

export function formatLeft(seconds: number): string {
  return seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`;
}

function bar(share: number): string {
  return `[${'#'.repeat(Math.round(BAR_CHARS * share)).padEnd(BAR_CHARS, '.')}]`;
}

/** Describes the terminal or file behind a stream. */
export function screenOf(stream: NodeJS.WriteStream): Screen {
  return {
    isTTY: stream.isTTY === true,
    columns: () => stream.columns ?? 80,
    write: (text) => stream.write(text),
  };
}
