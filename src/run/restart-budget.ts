import type { RunConfig } from '../config/schema.js';

/** Budget of restarts: `cluster.maxRestarts` in any `cluster.restartWindow` seconds. */
export class RestartBudget {
  readonly max: number;
  readonly windowS: number;
  #restartsMs: number[] = [];

  constructor(
    { maxRestarts, restartWindow }: Pick<RunConfig['cluster'], 'maxRestarts' | 'restartWindow'>,
    private readonly nowMs: () => number = () => performance.now(),
  ) {
    this.max = maxRestarts;
    this.windowS = restartWindow;
  }

  /** Number of restarts that are left now. */
  get left(): number {
    const since = this.nowMs() - 1000 * this.windowS;
    this.#restartsMs = this.#restartsMs.filter((each) => each > since);
    return this.max - this.#restartsMs.length;
  }

  spend(): void {
    this.#restartsMs.push(this.nowMs());
  }
}
