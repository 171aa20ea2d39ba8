import { pathToFileURL } from 'node:url';
import { type Layout, programBeside } from '@locmoe/test-kit';
import type { LinkSpeed } from 'locmoe/internal/agent/link-limit';
import { ringBytesFor, segmentBytes } from 'locmoe/internal/collectives/shm-layout';
import { runRanks } from '../run-ranks.js';
import { busGbPerS, type ExchangeCase, layoutName, type Repetition } from './cases.js';
import type { ExchangeArgs, RankTimes } from './exchange.program.js';
import { type AgentCost, type ExchangeRow, sampled, spreadOf } from './measurements.js';

export interface MeasureOptions {
  readonly layout: Layout;
  readonly cases: readonly ExchangeCase[];
  readonly repetition: Repetition;
  readonly interNodeLink?: LinkSpeed;
  readonly signal: AbortSignal;
}

/**
 * Times our collectives between real processes: agents and workers as in training.
 *
 * @throws TrainerError with the failure of a rank or agent; a wrong result counts as a failure
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
      results.map((times) => times[i]!),
    ),
  );
}

function rowOf(layout: Layout, each: ExchangeCase, ranks: readonly RankTimes[]): ExchangeRow {
  const ms = spreadOf(sampled(ranks[0]!.ms));
  return {
    ...each,
    system: 'locmoe',
    layout: layoutName(layout),
    numRanks: ranks.length,
    ms,
    repetitions: ranks[0]!.ms.length,
    busGbPerS: busGbPerS(each, ranks.length, ms.median),
    setting: null,
    agents: agentCost(layout, ranks),
  };
}

function agentCost(layout: Layout, ranks: readonly RankTimes[]): AgentCost {
  const sum = (of: (times: RankTimes) => number) => ranks.reduce((total, times) => total + of(times), 0);
  const gbOtherNode = sum(({ bytesOtherNode }) => bytesOtherNode) / 1e9;
  return {
    cpuSPerGb: gbOtherNode === 0 ? null : sum(({ agentCpuS }) => agentCpuS) / gbOtherNode,
    startBytes: sum(({ agentStartBytes }) => agentStartBytes),
    peakBytes: sum(({ agentPeakBytes }) => agentPeakBytes),
    segmentBytes: layout.numNodes * segmentBytes({ ...layout, node: 0, ringBytes: ringBytesFor(layout) }),
  };
}
