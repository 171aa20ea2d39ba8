import { lostSecondsOf, type RestartCosts } from '@locmoe/run-format';
import { exponentialBuckets, Histogram, type Registry } from 'prom-client';
import type { DiskTolerance } from '../../run/disk-tolerance.js';
import type { RestartBudget } from '../../run/restart-budget.js';
import { instrumentsOf, type RefreshedListener } from './instruments.js';

/** 0.5 s to 4 minutes. */
const OUTAGE_BUCKETS_S = exponentialBuckets(0.5, 2, 10);

/**
 * Creates the metrics of restarts (their number, how many are left, their cost) and of losses to a full disk.
 *
 * @param earlier costs of the run before this process led it
 */
export function recoveryMetrics(
  registry: Registry,
  budget: RestartBudget,
  disk: Pick<DiskTolerance, 'numLost'>,
  earlier: RestartCosts,
): RefreshedListener {
  const { counter, gauge } = instrumentsOf(registry);
  const restarts = counter(
    'locmoe_restarts_total',
    'Generations that began by themselves after another had failed, over the whole life of the run',
  );
  const left = gauge(
    'locmoe_restarts_left',
    'Restarts that the run has left now (cluster.maxRestarts, cluster.restartWindow)',
  );
  const lostSteps = counter(
    'locmoe_lost_steps_total',
    'Steps that were done again after restarts, over the whole life of the run',
  );
  const lostSeconds = counter(
    'locmoe_lost_seconds_total',
    'Time that failures cost, in seconds: until they were detected, until the run trained again, and that of the steps done again',
  );
  const outage = new Histogram({
    name: 'locmoe_recovery_seconds',
    help: "Outages, in seconds: from the culprit's last sign of life until the run trained again",
    buckets: OUTAGE_BUCKETS_S,
    registers: [registry],
  });
  const lostRecords = counter(
    'locmoe_records_lost_total',
    "Writes to the run's metrics, journal and logs that the disk had no room for",
  );
  let countedLosses = 0;
  restarts.add(earlier.restarts);
  lostSteps.add(earlier.lostSteps);
  lostSeconds.add(earlier.lostSeconds);
  return {
    restarts: () => restarts.add(1),
    recovered(account) {
      lostSteps.add(account.lostSteps);
      lostSeconds.add(lostSecondsOf(account));
      outage.observe(account.detectedS + account.restartedS);
    },
    refresh() {
      // Old restarts stop counting against the budget without an event.
      left.set(budget.left);
      lostRecords.add(disk.numLost - countedLosses);
      countedLosses = disk.numLost;
    },
  };
}
