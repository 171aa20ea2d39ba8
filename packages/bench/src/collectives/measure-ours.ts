import { pathToFileURL } from 'node:url';
import { type Layout, programBeside, spawnRanks } from '@locmoe/test-kit';
import type { LinkSpeed } from 'locmoe/agent/link-limit';
import { segmentBytes } from 'locmoe/collectives/shm-layout';
import { clusterSchema } from 'locmoe/config/schema';
import { TrainerError } from 'locmoe/errors';
import { busGbPerS, type ExchangeCase, layoutName, type Repetition } from './cases.js';
import type { ExchangeArgs, RankTimes } from './exchange.program.js';
import { type AgentCost, type ExchangeRow, spreadOf } from './measurements.js';

/** As in a training that sets nothing. */
const { ringBytes } = clusterSchema.parse({});
const COLLECTIVE_TIMEOUT_MS = 60_000;
const DEADLINE_MS = 300_000;

export interface MeasureOptions {
  readonly layout: Layout;
  readonly cases: readonly ExchangeCase[];
  readonly repetition: Repetition;
  readonly interNodeLink?: LinkSpeed;
  readonly signal: AbortSignal;
}

/**
 * Times our collectives between real processes: agents and workers as in a training.
 *
 * @throws TrainerError with the failure of a rank or agent; a wrong result is one
 */
export async function measureOurs(options: MeasureOptions): Promise<ExchangeRow[]> {
  const { layout, cases, repetition, interNodeLink = null, signal } = options;
  const program = pathToFileURL(programBeside(import.meta.url, 'exchange.program'));
  const args: ExchangeArgs = { cases, repetition };
  const results = await runRanks<RankTimes[]>(layout, program, { args, interNodeLink, signal });
  return cases.map((each, i) =>
    rowOf(
      layout,
      each,
      results.map((times) => times[i]),
    ),
  );
}

interface RunOptions {
  readonly args: unknown;
  readonly interNodeLink: LinkSpeed | null;
  readonly signal: AbortSignal;
}

/**
 * Runs a program as every rank, with the rings of a training that sets nothing.
 *
 * @returns what each rank has to say, by rank
 * @throws TrainerError with the failure of a rank or agent
 */
export async function runRanks<Result>(layout: Layout, program: URL, options: RunOptions): Promise<Result[]> {
  const { ranks, agentErrors } = await spawnRanks<Result>(layout, program, {
    ...options,
    ...{ ringBytes, timeoutMs: COLLECTIVE_TIMEOUT_MS, deadlineMs: DEADLINE_MS },
  });
  const failures = [...agentErrors, ...ranks.flatMap(({ error }) => error ?? [])];
  const failure = failures.find(({ code }) => code !== 'ABORTED') ?? failures[0];
  if (failure !== undefined)
    throw new TrainerError(failure.code, `${layoutName(layout)}: ${failure.message}`, failure.context);
  return ranks.map(({ rank, result, signal: end }) => {
    if (result !== undefined) return result;
    throw new TrainerError('WORKER_DIED', `${layoutName(layout)}: rank ${rank} ended with ${end}`, { rank });
  });
}

function rowOf(layout: Layout, each: ExchangeCase, ranks: readonly RankTimes[]): ExchangeRow {
  const ms = spreadOf(ranks[0].ms);
  return {
    ...each,
    system: 'locmoe',
    layout: layoutName(layout),
    numRanks: ranks.length,
    ms,
    repetitions: ranks[0].ms.length,
    busGbPerS: busGbPerS(each, ranks.length, ms.median),
    setting: null,
    agents: agentCost(layout, ranks),
  };
}

function agentCost(layout: Layout, ranks: readonly RankTimes[]): AgentCost {
  const sum = (of: (times: RankTimes) => number) => ranks.reduce((total, times) => total + of(times), 0);
  return {
    cpuS: sum(({ agentCpuS }) => agentCpuS),
    bytesOtherNode: sum(({ bytesOtherNode }) => bytesOtherNode),
    startBytes: sum(({ agentStartBytes }) => agentStartBytes),
    peakBytes: sum(({ agentPeakBytes }) => agentPeakBytes),
    segmentBytes: layout.numNodes * segmentBytes({ ...layout, node: 0, ringBytes }),
  };
}
