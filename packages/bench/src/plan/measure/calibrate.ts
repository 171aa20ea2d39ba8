import { availableParallelism } from 'node:os';
import type { MachineProfile } from '../profile.js';
import type { CalibrateOptions } from './calibrate-options.js';
import { calibrateCompute } from './compute-costs.js';
import { calibrateExchange } from './exchange-costs.js';
import { measureSlowdown } from './slowdown.js';

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
