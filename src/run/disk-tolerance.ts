import { isDiskFull } from '@locmoe/logs/append-file';

/** Recording has resumed after this time without a loss: a short record may fit where a long one does not. */
const RECOVERED_MS = 10_000;

/** Lets a run go on without its logs and metrics while the disk is full, and counts the records that are lost. */
export class DiskTolerance {
  /** Number of writes that the disk had no room for. */
  numLost = 0;
  #since: number | null = null;
  #lostAt = 0;

  /** @param warn called when records begin to be lost */
  constructor(
    private readonly warn: (line: string) => void,
    private readonly now: () => number = Date.now,
  ) {}

  /** Time since which records are being lost, in ms since 1970; null while all records are written. */
  get notRecordingSince(): number | null {
    return this.#since;
  }

  /** Tells whether the run goes on although `file` could not be written because of `error`. */
  forgives(error: unknown, file: string): boolean {
    if (!isDiskFull(error)) return false;
    this.numLost++;
    this.#lostAt = this.now();
    if (this.#since === null) {
      // `#since` is set before the warning, which may itself find the disk full.
      this.#since = this.#lostAt;
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
      if (this.#since !== null && this.now() - this.#lostAt >= RECOVERED_MS) this.#since = null;
    } catch (error) {
      if (!this.forgives(error, file)) throw error;
    }
  }
}
