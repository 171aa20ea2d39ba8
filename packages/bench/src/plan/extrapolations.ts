import { formatCount } from 'locmoe/internal/format';
import { MOST_RANKS } from './measure/exchange-costs.js';
import type { PlanInput } from './predict.js';

/** Says in which respects a plan goes beyond what its calibration has measured; nothing if it does not. */
export function extrapolations({ config, profile, coresPerNode }: PlanInput): string[] {
  const { nodes, workersPerNode } = config.cluster;
  const numRanks = nodes * workersPerNode;
  const workersPerCore = workersPerNode / coresPerNode;
  const mostPerCore = profile.compute.slowdown.at(-1)!.processesPerCore;
  return [
    ...(numRanks > MOST_RANKS
      ? [
          `costs of messages are fitted on up to ${MOST_RANKS} ranks; ${formatCount(numRanks)} is an extrapolation`,
        ]
      : []),
    ...(workersPerCore > mostPerCore
      ? [
          `the slowdown is measured with up to ${mostPerCore} workers a core; ` +
            `${Number(workersPerCore.toPrecision(3))} is an extrapolation`,
        ]
      : []),
  ];
}
