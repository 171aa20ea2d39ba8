import { isDiskFull } from '@locmoe/logs/append-file';

/** Logs and metrics of a run are not worth the run: on a full disk it warns once and goes on without them. */
export class DiskTolerance {
  #hasWarned = false;

  constructor(readonly warn: (line: string) => void) {}

  /** Whether the run goes on although `file` could not be written because of `error`. */
  forgives(error: unknown, file: string): boolean {
    if (!isDiskFull(error)) return false;
    if (!this.#hasWarned) {
      // First, as the warning may find the disk full in its turn.
      this.#hasWarned = true;
      this.warn(
        `cannot write ${file}: ${error.message}; free some space; the run goes on, and what does not fit into its logs and metrics is lost`,
      );
    }
    return true;
  }

  /**
   * Writes `file` with `write`, or leaves it on a full disk.
   *
   * @throws what `write` throws for any other reason
   */
  write(file: string, write: () => void): void {
    try {
      write();
    } catch (error) {
      if (!this.forgives(error, file)) throw error;
    }
  }
}
