import type { FailureReport, GlobalStep, RecoveryAccount } from '@locmoe/run-format';
import type { GenerationView, RunListener } from '../run/run-listener.js';
import type { RunState } from '../run/run-state.js';

const MAX_STEPS = 100_000;

interface Outage {
  readonly detectedS: number;
  readonly sinceMs: number;
  /** Last completed step. */
  readonly lastStep: number;
}

/** Accounts for each recovery of a run, from the first failure until it trains again. */
export class RecoveryAccounts implements RunListener {
  /** Duration in ms of each step that a restart may repeat. */
  readonly #stepMs = new Map<number, number>();
  #lastStep = 0;
  #stepAtMs: number;
  #outage: Outage | null = null;
  #resumedStep = 0;

  constructor(
    private readonly onRecovered: (account: RecoveryAccount) => void,
    private readonly nowMs: () => number = () => performance.now(),
  ) {
    this.#stepAtMs = nowMs();
  }

  step({ step, stepMs }: GlobalStep): void {
    this.#lastStep = step;
    this.#stepAtMs = this.nowMs();
    this.#stepMs.set(step, stepMs);
    // Without checkpoints nothing else would bound the map.
    if (this.#stepMs.size > MAX_STEPS) this.#stepMs.delete(this.#stepMs.keys().next().value!);
  }

  /** A restart repeats nothing before a checkpoint, unless the checkpoint proves damaged. */
  checkpoint({ step }: { readonly step: number }): void {
    for (const each of this.#stepMs.keys()) if (each <= step) this.#stepMs.delete(each);
  }

  restarts({ rank, node, ranks }: FailureReport): void {
    // A generation that fails before it trains only prolongs the outage.
    if (this.#outage !== null) return;
    const now = this.nowMs();
    const silent = ranks
      .filter((each) => (rank === null ? each.node === node : each.rank === rank))
      .map(({ lastHeardMs }) => lastHeardMs);
    const detectedMs = silent.length > 0 ? Math.max(...silent) : now - this.#stepAtMs;
    this.#outage = { detectedS: detectedMs / 1000, sinceMs: now, lastStep: this.#lastStep };
  }

  generation({ resumedFrom }: GenerationView): void {
    this.#resumedStep = resumedFrom ?? 0;
  }

  state({ kind }: RunState): void {
    if (kind !== 'running' || this.#outage === null) return;
    const { detectedS, sinceMs, lastStep } = this.#outage;
    const repeated = [...this.#stepMs].filter(([step]) => step > this.#resumedStep && step <= lastStep);
    this.#outage = null;
    this.#lastStep = this.#resumedStep;
    this.onRecovered({
      detectedS,
      restartedS: (this.nowMs() - sinceMs) / 1000,
      lostSteps: Math.max(0, lastStep - this.#resumedStep),
      lostS: repeated.reduce((sum, [, ms]) => sum + ms, 0) / 1000,
    });
  }
}
