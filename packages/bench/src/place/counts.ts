import type { RouteRow } from '@locmoe/run-format/routes-file';
import { type RunConfig, sparseLayersOf } from 'locmoe/internal/config/schema';
import { TrainerError } from 'locmoe/internal/errors';
import { CounterRandom } from 'locmoe/internal/parameters/counter-random';
import type { TierShares } from '../plan/routing-model.js';
import { sum } from '../statistics.js';

// D domains, E experts.

/** Counts of recorded routes that do not depend on the ranks of the recorded run. */
export interface RouteCounts {
  readonly numSteps: number;
  readonly numSequences: number;
  /** Mean kept choices of each expert by a sequence of each domain, row-major [D, E], by sparse layer. */
  readonly keptDE: readonly Float64Array[];
  /** Destinations of the kept choices on the ranks that they were recorded on. */
  readonly tiers: TierShares;
}

/** The counts of all sequences, and those of two random halves. */
export interface SplitCounts {
  readonly all: RouteCounts;
  /** Counts of two random halves; null if a domain has sequences in only one half. */
  readonly halves: readonly [RouteCounts, RouteCounts] | null;
}

/**
 * Counts the kept choices of recorded routes.
 *
 * @param tables rows of any number of files
 * @throws TrainerError `BAD_INPUT` if a row does not belong to this configuration, or if a domain has no rows
 */
export async function countRoutes(
  config: RunConfig,
  tables: AsyncIterable<readonly RouteRow[]>,
): Promise<SplitCounts> {
  const { data, model, moe } = config;
  const layers = sparseLayersOf(model);
  const draw = new CounterRandom(1, 'place.halves');
  const [all, ...halves] = [new Counter(config), new Counter(config), new Counter(config)] as const;
  for await (const rows of tables)
    for (const row of rows) {
      const { step, sequence, layer, domain, expert } = row;
      const [i, d] = [layers.indexOf(layer), data.domains.indexOf(domain)];
      const other = (what: string) =>
        new TrainerError(
          'BAD_INPUT',
          `the routes of step ${step} are of another configuration: ${what}; name theirs with --config`,
        );
      if (i < 0) throw other(`layer ${layer} is none of the sparse layers ${layers.join(', ')}`);
      if (d < 0) throw other(`domain ${domain} is none of ${data.domains.join(', ')}`);
      if (expert >= moe.numExperts)
        throw other(`expert ${expert} is beyond the ${moe.numExperts} of moe.numExperts`);
      all.add(row, i, d);
      halves[draw.uniform(0x10001 * step + sequence) < 0.5 ? 0 : 1].add(row, i, d);
    }
  const missing = data.domains.find((_, d) => all.sequencesOfDomain[d]!.size === 0);
  if (missing !== undefined)
    throw new TrainerError(
      'BAD_INPUT',
      `no sequence of domain ${missing} is recorded; record more steps, or a larger train.recordRoutes.share`,
    );
  const areWhole = halves.every((half) => half.sequencesOfDomain.every(({ size }) => size > 0));
  return { all: all.counts, halves: areWhole ? [halves[0].counts, halves[1].counts] : null };
}

class Counter {
  readonly sequencesOfDomain: readonly Set<string>[];
  readonly #steps = new Set<number>();
  readonly #keptDE: readonly Float64Array[];
  readonly #links = { rank: 0, node: 0, network: 0 };

  constructor(private readonly config: RunConfig) {
    const { data, model, moe } = config;
    this.sequencesOfDomain = data.domains.map(() => new Set());
    this.#keptDE = Array.from(
      { length: model.numSparseLayers },
      () => new Float64Array(data.domains.length * moe.numExperts),
    );
  }

  /** @param layer index among the sparse layers */
  add({ step, sequence, expert, outcome, link }: RouteRow, layer: number, domain: number): void {
    this.#steps.add(step);
    this.sequencesOfDomain[domain]!.add(`${step} ${sequence}`);
    if (outcome !== 'kept') return;
    this.#keptDE[layer]![domain * this.config.moe.numExperts + expert]!++;
    this.#links[link]++;
  }

  get counts(): RouteCounts {
    const { rank, node, network } = this.#links;
    const all = Math.max(1, rank + node + network);
    const sizeAt = (at: number) => this.sequencesOfDomain[Math.floor(at / this.config.moe.numExperts)]!.size;
    return {
      numSteps: this.#steps.size,
      numSequences: sum(this.sequencesOfDomain.map(({ size }) => size)),
      keptDE: this.#keptDE.map((kept) => kept.map((count, at) => count / sizeAt(at))),
      tiers: { sameWorker: rank / all, sameNode: node / all, otherNode: network / all },
    };
  }
}
