const WINDOW_STEPS = 50;

/**
 * Tokens per second and remaining time, from the wall-clock time of the last steps, including validations and
 * checkpoints.
 */
export class Throughput {
  #begunMs: number | null = null;
  readonly #steps: { readonly step: number; readonly tokens: number; readonly atMs: number }[] = [];

  /** @param maxSeconds limit on the training time, counted from the first step; Infinity for no limit */
  constructor(
    readonly totalSteps: number,
    private readonly maxSeconds: number,
    private readonly nowMs: () => number = () => performance.now(),
  ) {}

  add(step: number, tokens: number): void {
    const atMs = this.nowMs();
    this.#begunMs ??= atMs;
    this.#steps.push({ step, tokens, atMs });
    if (this.#steps.length > WINDOW_STEPS) this.#steps.shift();
  }

  /** Tokens per second; 0 (unknown) before the second step, like `secondsLeft`. */
  get tokensPerS(): number {
    const seconds = this.#windowS();
    return seconds === 0 ? 0 : this.#steps.slice(1).reduce((sum, { tokens }) => sum + tokens, 0) / seconds;
  }

  /** Mean step time; 0 (unknown) before the second step. */
  get secondsPerStep(): number {
    return this.#windowS() / Math.max(1, this.#steps.length - 1);
  }

  get secondsLeft(): number {
    const last = this.#steps.at(-1);
    if (last === undefined || this.#steps.length < 2) return 0;
    const forSteps = (this.totalSteps - last.step) * this.secondsPerStep;
    return Math.max(0, Math.min(forSteps, this.maxSeconds - (last.atMs - this.#begunMs!) / 1000));
  }

  #windowS(): number {
    if (this.#steps.length < 2) return 0;
    return (this.#steps.at(-1)!.atMs - this.#steps[0]!.atMs) / 1000;
  }
}
