import { availableParallelism } from 'node:os';
import type { MachineProfile } from '../profile.js';
import { calibrateCompute } from './compute-costs.js';
import { calibrateExchange } from './exchange-costs.js';
import { measureSlowdown } from './slowdown.js';

export interface CalibrateOptions {
  /** Of this machine, for the reader. */
  readonly machine: string;
  readonly date: string;
  readonly command: string;
  /** A tenth of the time, for trying it out. */
  readonly quick: boolean;
  readonly log: (line: string) => void;
}

/**
 * Measures this machine: steps of single workers of many sizes give the costs of computation, exchanges between agents
 * and workers of their own those of communication, and workers in lockstep what sharing the machine costs. No run that
 * exchanges tokens or gradients is looked at.
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
