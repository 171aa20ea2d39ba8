import { median } from '../../statistics.js';
import { countsInNode, exchangeS } from '../cost.js';
import type { ComputeProfile, ExchangeProfile } from '../profile.js';
import type { CalibrateOptions } from './calibrate-options.js';
import { allToAllOf } from './exchange-costs.js';
import { runProbe } from './probe.js';
import type { ProbeCase, StepResult } from './probe-case.js';
import { configOf, SIZES } from './probe-sizes.js';

/** Workers per core whose lockstep is measured. */
const CROWDS = [1, 2] as const;

/** Steps of workers that meet as often as in a run but exchange nothing, relative to one worker alone. */
export async function measureSlowdown(
  { log, quick }: CalibrateOptions,
  steps: number,
  cores: number,
  exchange: ExchangeProfile,
): Promise<ComputeProfile['slowdown']> {
  // As long as steps of a run: in shorter ones that ranks wait for the last one weighs more than sharing the machine.
  const configs = (quick ? [SIZES[3]] : SIZES.slice(4)).map((size) => configOf(size, 'hash'));
  const stepsOf = async (workersPerNode: number): Promise<StepResult[]> => {
    log(`${workersPerNode} ${workersPerNode === 1 ? 'worker' : 'workers'} in lockstep`);
    const { results } = await runProbe(
      { numNodes: 1, workersPerNode },
      configs.map((config): ProbeCase => ({ kind: 'step', config, steps })),
    );
    return results as StepResult[];
  };
  const alone = await stepsOf(1);
  const slowdown = [{ processesPerCore: 1 / cores, factor: 1 }];
  for (const crowd of CROWDS) {
    const workers = crowd * cores;
    if (workers === 1) continue;
    const machines = { nodes: 1, workersPerNode: workers, coresPerNode: cores };
    const meetingMs =
      1000 * exchangeS(countsInNode(allToAllOf({ bytes: 0, aggregate: true }, machines), machines), exchange);
    const together = await stepsOf(workers);
    const factors = together.map(
      ({ stepMs, meetings }, i) => (stepMs - meetings * meetingMs) / (crowd * alone[i]!.stepMs),
    );
    slowdown.push({ processesPerCore: crowd, factor: Math.max(1, median(factors)) });
  }
  return slowdown;
}
