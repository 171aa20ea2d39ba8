import { type Layout, type SpawnOptions, spawnRanks } from '@locmoe/test-kit';
import { ringBytesFor } from 'locmoe/internal/collectives/shm-layout';
import { TrainerError } from 'locmoe/internal/errors';

const COLLECTIVE_TIMEOUT_MS = 60_000;
const DEADLINE_MS = 300_000;

type RunOptions = Pick<SpawnOptions, 'args' | 'interNodeLink' | 'env' | 'signal'>;

/**
 * Runs a program as every rank, with default rings.
 *
 * @returns the result of each rank, by rank
 * @throws TrainerError with the failure of a rank or agent
 */
export async function runRanks<Result>(
  layout: Layout,
  program: URL,
  options: RunOptions,
): Promise<[Result, ...Result[]]> {
  const where = `${layout.numNodes}x${layout.workersPerNode}`;
  const { ranks, agentErrors } = await spawnRanks<Result>(layout, program, {
    ...options,
    ringBytes: ringBytesFor(layout),
    timeoutMs: COLLECTIVE_TIMEOUT_MS,
    deadlineMs: DEADLINE_MS,
  });
  const failures = [...agentErrors, ...ranks.flatMap(({ error }) => error ?? [])];
  const failure = failures.find(({ code }) => code !== 'ABORTED') ?? failures[0];
  if (failure !== undefined)
    throw new TrainerError(failure.code, `${where}: ${failure.message}`, failure.context);
  const results = ranks.map(({ rank, result, signal: end }) => {
    if (result !== undefined) return result;
    throw new TrainerError('WORKER_DIED', `${where}: rank ${rank} ended with ${end}`, { rank });
  });
  return results as [Result, ...Result[]];
}
