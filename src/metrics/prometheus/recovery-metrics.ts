import { lostSecondsOf, type RecoveryAccount, type RestartCosts } from '@locmoe/run-format';
import { exponentialBuckets, Histogram, type Registry } from 'prom-client';
import type { RestartBudget } from '../../run/restart-budget.js';
import type { RunListener } from '../../run/run-listener.js';
import { counter, gauge } from './instruments.js';

/** 0.5 s to 4 minutes. */
const OUTAGE_BUCKETS_S = exponentialBuckets(0.5, 2, 10);

/** Restarts after failures: how many there were, how many are left, what they cost. */
export class RecoveryMetrics implements RunListener {
  readonly #restarts;
  readonly #left;
  readonly #lostSteps;
  readonly #lostSeconds;
  readonly #outage;

  /** @param earlier what the run lost before this process led it */
  constructor(
    registry: Registry,
    private readonly budget: RestartBudget,
    earlier: RestartCosts,
  ) {
    this.#restarts = counter(
      registry,
      'locmoe_restarts_total',
      'Generations that began by themselves after another had failed, over the whole life of the run',
    );
    this.#left = gauge(
      registry,
      'locmoe_restarts_left',
      'Restarts that the run has left now (cluster.maxRestarts, cluster.restartWindow)',
    );
    this.#lostSteps = counter(
      registry,
      'locmoe_lost_steps_total',
      'Steps that were done again after restarts, over the whole life of the run',
    );
    this.#lostSeconds = counter(
      registry,
      'locmoe_lost_seconds_total',
      'Time that failures cost, in seconds: until they were detected, until the run trained again, and that of the steps done again',
    );
    this.#outage = new Histogram({
      name: 'locmoe_recovery_seconds',
      help: "Outages, in seconds: from the culprit's last sign of life until the run trained again",
      buckets: OUTAGE_BUCKETS_S,
      registers: [registry],
    });
    this.#restarts.add(earlier.restarts);
    this.#lostSteps.add(earlier.lostSteps);
    this.#lostSeconds.add(earlier.lostSeconds);
  }

  restarts(): void {
    this.#restarts.add(1);
  }

  recovered(account: RecoveryAccount): void {
    this.#lostSteps.add(account.lostSteps);
    this.#lostSeconds.add(lostSecondsOf(account));
    this.#outage.observe(account.detectedS + account.restartedS);
  }

  /** Updates the budget, as restarts of long ago no longer count against it. */
  refresh(): void {
    this.#left.set(this.budget.left);
  }
}
