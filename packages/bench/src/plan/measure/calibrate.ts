import { availableParallelism } from 'node:os';
import { median } from '../../statistics.js';
import { countsInNode, exchangeS } from '../cost.js';
import type { ComputeProfile, ExchangeProfile, MachineProfile } from '../profile.js';
import { calibrateCompute } from './compute-costs.js';
import { allToAllOf, calibrateExchange } from './exchange-costs.js';
import type { CalibrateOptions } from './fit.js';
import type { ProbeCase, StepResult } from './probe.js';
import { configOf, runProbe, SIZES } from './probe.js';

/**
 * Calibrates this machine: steps of single workers of many sizes give the compute costs, exchanges between
 * bare agents and workers the communication costs, workers in lockstep the slowdown of a shared machine. No
 * run that exchanges tokens or gradients is used.
 */
export async function calibrate(options: CalibrateOptions): Promise<MachineProfile> {
  const cores = availableParallelism();
  const steps = options.quick ? 3 : 10;
  const { compute, processBytes } = await calibrateCompute(options, steps);
  const exchange = await calibrateExchange(options, cores);
  const slowdown = await measureSlowdown(options, steps, cores, exchange);
  const { machine, date, command } = options;
  return { machine, date, command, cores, compute: { ...compute, slowdown }, exchange, processBytes };
}

/** Numbers of workers per core for which lockstep is measured. */
const CROWDS = [1, 2] as const;

/** Times steps of workers that meet as often as in a run but exchange nothing, relative to one worker alone. */
async function measureSlowdown(
  { log, quick }: CalibrateOptions,
  steps: number,
  cores: number,
  exchange: ExchangeProfile,
): Promise<ComputeProfile['slowdown']> {
  // Steps are as long as in a run: in shorter ones, waiting for the last rank outweighs sharing the machine.
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
