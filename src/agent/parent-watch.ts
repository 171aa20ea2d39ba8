import { EXIT } from '../errors.js';

const PARENT_WATCH_MS = 500;

/**
 * Exits this process once its parent has ended, or at once if the parent is already gone. The parent passes its own
 * pid, because an orphan cannot look it up.
 */
export class ParentWatch {
  #timer: NodeJS.Timeout | null = null;

  constructor(readonly parent: number) {
    this.resume();
  }

  pause(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  resume(): void {
    this.#check();
    this.#timer ??= setInterval(() => this.#check(), PARENT_WATCH_MS);
  }

  #check(): void {
    if (process.ppid !== this.parent) process.exit(EXIT.failedRun);
  }
}
