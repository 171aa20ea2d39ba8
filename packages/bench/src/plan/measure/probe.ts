import { pathToFileURL } from 'node:url';
import { type Layout, programBeside } from '@locmoe/test-kit';
import { WORKER_ENV } from 'locmoe/internal/agent/worker-env';
import { runRanks } from '../../run-ranks.js';
import type { ProbeCase, ProbeOutcome } from './probe-case.js';

/**
 * Runs cases on bare agents and workers, and returns the measurements of rank 0.
 *
 * @throws TrainerError with the failure of a rank or agent
 */
export async function runProbe(layout: Layout, cases: readonly ProbeCase[]): Promise<ProbeOutcome> {
  const program = pathToFileURL(programBeside(import.meta.url, 'probe.program'));
  const [first] = await runRanks<ProbeOutcome>(layout, program, { args: cases, env: WORKER_ENV });
  return first;
}
