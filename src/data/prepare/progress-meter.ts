/** Progress in preparing a text. */
export interface PrepareProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** Rate at which this preparation itself has read; 0 before it has read anything. */
  readonly bytesPerS: number;
  /** Null before it can be estimated. */
  readonly secondsLeft: number | null;
}

/** Counts bytes and reports the progress after each count. */
export class ProgressMeter {
  #totalBytes = 0;
  #doneBytes = 0;
  #ownBytes = 0;
  #beganMs = 0;

  constructor(
    private readonly tell: (progress: PrepareProgress) => void,
    private readonly nowMs: () => number = () => performance.now(),
  ) {}

  begin(totalBytes: number): void {
    this.#totalBytes = totalBytes;
    this.#beganMs = this.nowMs();
  }

  /** @param wereDone whether an earlier preparation had done these bytes */
  add(bytes: number, wereDone: boolean): void {
    this.#doneBytes += bytes;
    if (!wereDone) this.#ownBytes += bytes;
    const seconds = (this.nowMs() - this.#beganMs) / 1000;
    const bytesPerS = seconds > 0 ? this.#ownBytes / seconds : 0;
    const left = this.#totalBytes - this.#doneBytes;
    this.tell({
      doneBytes: this.#doneBytes,
      totalBytes: this.#totalBytes,
      bytesPerS,
      secondsLeft: bytesPerS > 0 ? left / bytesPerS : null,
    });
  }
}
