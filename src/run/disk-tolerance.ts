import { isDiskFull } from '@locmoe/logs/append-file';

/** Lets a run go on without its logs and metrics when the disk is full; warns once. */
export class DiskTolerance {
  #hasWarned = false;

  constructor(private readonly warn: (line: string) => void) {}

  /** Tells whether the run goes on although `file` could not be written because of `error`. */
  forgives(error: unknown, file: string): boolean {
    if (!isDiskFull(error)) return false;
    if (!this.#hasWarned) {
      // First, as the warning may itself find the disk full.
      this.#hasWarned = true;
      this.warn(
        `cannot write ${file}: ${error.message}; free some space; the run goes on, and what does not fit into its logs and metrics is lost`,
      );
    }
    return true;
  }

  /**
   * Calls `write` for `file`; skips it if the disk is full.
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
