import { countsBetweenNodes, countsInNode, type ExchangeCounts, type Machines } from '../cost.js';
import type { ExchangeProfile } from '../profile.js';
import type { Exchange } from '../traffic.js';
import type { CalibrateOptions } from './fit.js';
import { describeErrors, errorsOf, fitCosts, measureVisible, type Observation } from './fit.js';
import type { ProbeCase, ProbeResult } from './probe.js';
import { runProbe } from './probe.js';

const PAIR_BYTES = [0, 32 << 10, 256 << 10, 2 << 20] as const;
const LAYOUTS = [
  [1, 2],
  [1, 4],
  [2, 1],
  [2, 2],
  [4, 1],
] as const;
/** Number of ranks of the largest layout used to fit the costs. */
export const MOST_RANKS = Math.max(...LAYOUTS.map(([nodes, workersPerNode]) => nodes * workersPerNode));
/** Number of work intervals per case. */
const REPETITIONS = 30;

/** Fits the costs of an exchange to the time that it adds to intervals of work. */
export function calibrateExchange(options: CalibrateOptions, cores: number): Promise<ExchangeProfile> {
  return measureVisible(() => measureExchange(options, cores), freeOf, options.log);
}

/**
 * Names a cost that the fit puts at 0 although it cannot be; null if there is none. A single cost may be 0,
 * as the fit cannot separate them all.
 */
export function freeOf({
  wakeUs,
  messageUs,
  byteNs,
  hopUs,
  frameUs,
  streamByteNs,
}: ExchangeProfile): string | null {
  if (wakeUs + messageUs === 0) return 'exchanges in a node';
  if (hopUs + frameUs === 0) return 'exchanges between nodes';
  return byteNs + streamByteNs === 0 ? 'bytes of exchanges' : null;
}

async function measureExchange({ log, quick }: CalibrateOptions, cores: number): Promise<ExchangeProfile> {
  const repetitions = quick ? REPETITIONS / 5 : REPETITIONS;
  // The largest size takes most of the time.
  const pairBytes = quick ? PAIR_BYTES.slice(0, -1) : PAIR_BYTES;
  const observations: Observation[] = [];
  for (const [numNodes, workersPerNode] of LAYOUTS) {
    log(`exchanges of ${numNodes} x ${workersPerNode}`);
    const sizes = pairBytes.flatMap((bytes) =>
      (numNodes > 1 ? [true, false] : [true]).map((aggregate) => ({ bytes, aggregate })),
    );
    const work: ProbeCase = { kind: 'exchange', bytes: null, aggregate: true, repetitions };
    const cases = sizes.flatMap((size): ProbeCase[] => [work, { kind: 'exchange', ...size, repetitions }]);
    const { results } = await runProbe({ numNodes, workersPerNode }, [...cases, work]);
    const times = results.map((result) => (result as Extract<ProbeResult, { kind: 'exchange' }>).ms / 1000);
    const machines = { nodes: numNodes, workersPerNode, coresPerNode: cores / numNodes };
    sizes.forEach((size, i) => {
      // The intervals before and after are averaged, as other load may come and go meanwhile.
      const [before, unit, after] = times.slice(2 * i, 2 * i + 3) as [number, number, number];
      observations.push({ counts: gatherCounts(size, machines), value: unit - (before + after) / 2, unit });
    });
  }
  const costs = fitCosts(observations);
  log(`  ${describeErrors(errorsOf(observations, costs))}`);
  return Object.fromEntries(
    EXCHANGE_COSTS.map((name, i) => [name, costs[i]! * (name.endsWith('Us') ? 1e6 : 1e9)]),
  ) as ExchangeProfile;
}

const EXCHANGE_COSTS = ['wakeUs', 'hopUs', 'messageUs', 'byteNs', 'frameUs', 'streamByteNs'] as const;

function gatherCounts(
  each: { readonly bytes: number; readonly aggregate: boolean },
  machines: Machines,
): number[] {
  const exchange = allToAllOf(each, machines);
  const inNode = countsInNode(exchange, machines);
  const between = countsBetweenNodes(exchange, machines);
  return EXCHANGE_COSTS.map((name: keyof ExchangeCounts) => inNode[name] + between[name]);
}

/** Returns the exchange of a probe, as a plan describes it. */
export function allToAllOf(
  { bytes, aggregate }: { readonly bytes: number; readonly aggregate: boolean },
  { nodes, workersPerNode }: Machines,
): Exchange {
  const localMessages = workersPerNode - 1;
  const remoteMessages = (nodes - 1) * workersPerNode;
  return {
    kind: 'all-to-all',
    purpose: 'probe',
    phase: 'forward',
    count: 1,
    summed: 0,
    aggregate,
    localMessages,
    localBytes: localMessages * bytes,
    remoteMessages,
    remoteBytes: remoteMessages * bytes,
  };
}
