import type { RunConfig } from '../config/schema.js';

/** How often a run may still restart: `cluster.maxRestarts` in any `cluster.restartWindow` seconds. */
export class RestartBudget {
  readonly max: number;
  readonly windowS: number;
  /** When the run was restarted. */
  #restartsMs: number[] = [];

  constructor(
    { maxRestarts, restartWindow }: Pick<RunConfig['cluster'], 'maxRestarts' | 'restartWindow'>,
    private readonly nowMs: () => number = () => performance.now(),
  ) {
    this.max = maxRestarts;
    this.windowS = restartWindow;
  }

  /** Restarts that are left now. */
  get left(): number {
    const since = this.nowMs() - 1000 * this.windowS;
    this.#restartsMs = this.#restartsMs.filter((each) => each > since);
    return this.max - this.#restartsMs.length;
  }

  spend(): void {
    this.#restartsMs.push(this.nowMs());
  }
}
