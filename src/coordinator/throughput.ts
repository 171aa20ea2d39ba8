const WINDOW_STEPS = 50;

/**
 * Tokens a second and time left, over the last steps by wall clock (validations and checkpoints included).
 */
export class Throughput {
  readonly #steps: { readonly step: number; readonly tokens: number; readonly atMs: number }[] = [];

  constructor(
    readonly totalSteps: number,
    readonly nowMs: () => number = () => performance.now(),
  ) {}

  add(step: number, tokens: number): void {
    this.#steps.push({ step, tokens, atMs: this.nowMs() });
    if (this.#steps.length > WINDOW_STEPS) this.#steps.shift();
  }

  /** 0 (unknown) before the second step, as is `secondsLeft`. */
  get tokensPerS(): number {
    const seconds = this.#windowS();
    return seconds === 0 ? 0 : this.#steps.slice(1).reduce((sum, { tokens }) => sum + tokens, 0) / seconds;
  }

  get secondsLeft(): number {
    const last = this.#steps.at(-1);
    if (last === undefined || this.#steps.length < 2) return 0;
    return (this.totalSteps - last.step) * (this.#windowS() / (this.#steps.length - 1));
  }

  #windowS(): number {
    if (this.#steps.length < 2) return 0;
    return (this.#steps.at(-1)!.atMs - this.#steps[0].atMs) / 1000;
  }
}
