import type { RouteRow } from '@locmoe/run-format/routes-file';
import { type RunConfig, sparseLayersOf } from 'locmoe/internal/config/schema';
import { TrainerError } from 'locmoe/internal/errors';
import type { TierShares } from '../plan/routing-model.js';
import { sum } from '../statistics.js';

// D domains, E experts.

/** What recorded routes tell of a training, whatever the ranks were. */
export interface RouteCounts {
  readonly numSteps: number;
  readonly numSequences: number;
  /** Kept choices that a sequence of each domain has of each expert on average, row-major [D, E], by sparse layer. */
  readonly keptDE: readonly Float64Array[];
  /** Destinations of the kept choices on the ranks that they were recorded on. */
  readonly tiers: TierShares;
}

/**
 * Counts the kept choices of recorded routes.
 *
 * @param tables rows of any number of files
 * @throws TrainerError `BAD_INPUT` if a row is not of this configuration, or a domain has none
 */
export async function countRoutes(
  config: RunConfig,
  tables: AsyncIterable<readonly RouteRow[]>,
): Promise<RouteCounts> {
  const { data, model, moe } = config;
  const layers = sparseLayersOf(model);
  const numDomains = data.domains.length;
  const keptDE = layers.map(() => new Float64Array(numDomains * moe.numExperts));
  const sequencesOfDomain = data.domains.map(() => new Set<string>());
  const steps = new Set<number>();
  const links = { rank: 0, node: 0, network: 0 };
  for await (const rows of tables)
    for (const { step, sequence, layer, domain, expert, outcome, link } of rows) {
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
      steps.add(step);
      sequencesOfDomain[d]!.add(`${step} ${sequence}`);
      if (outcome !== 'kept') continue;
      keptDE[i]![d * moe.numExperts + expert]!++;
      links[link]++;
    }
  const missing = data.domains.find((_, d) => sequencesOfDomain[d]!.size === 0);
  if (missing !== undefined)
    throw new TrainerError(
      'BAD_INPUT',
      `no sequence of domain ${missing} is recorded; record more steps, or a larger train.recordRoutes.share`,
    );
  for (const kept of keptDE)
    kept.forEach((count, at) => {
      kept[at] = count / sequencesOfDomain[Math.floor(at / moe.numExperts)]!.size;
    });
  const all = Math.max(1, sum(Object.values(links)));
  return {
    numSteps: steps.size,
    numSequences: sum(sequencesOfDomain.map(({ size }) => size)),
    keptDE,
    tiers: { sameWorker: links.rank / all, sameNode: links.node / all, otherNode: links.network / all },
  };
}
