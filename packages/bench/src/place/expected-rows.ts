import { topologyOf } from 'locmoe/internal/collectives/topology';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { domainMixture } from 'locmoe/internal/data/domain-mixture';
import { assignToRanks } from 'locmoe/internal/data/placement';
import { homeRanksOfDomain } from 'locmoe/internal/worker/home-ranks';
import type { RouteCounts } from './counts.js';

// D domains, W ranks, E experts.

/** Number of micro-batches whose sequences are assigned; the mixture of domains repeats. */
const BATCHES = 256;

/**
 * Returns the expected kept choices of a step from each rank for each expert, row-major [W, E], by sparse
 * layer. Sequences of a domain are considered alike on every rank. With `data.placement: mixed`, every rank
 * has the same mixture: differences between ranks in a recording come from the drawn text, and the next step
 * draws other text. With `domain`, the ranks of sequences follow from those of the experts.
 *
 * @param config with the placement
 */
export function expectedRows(config: RunConfig, { keptDE }: RouteCounts): Float64Array[] {
  const sequencesDW = sequencesOfRanks(config);
  const { numExperts } = config.moe;
  const worldSize = config.cluster.nodes * config.cluster.workersPerNode;
  return keptDE.map((kept) => {
    const rowsWE = new Float64Array(worldSize * numExperts);
    sequencesDW.forEach((sequencesW, domain) => {
      sequencesW.forEach((sequences, rank) => {
        for (let expert = 0; expert < numExperts; expert++)
          rowsWE[rank * numExperts + expert]! += sequences * kept[domain * numExperts + expert]!;
      });
    });
    return rowsWE;
  });
}

/** Returns the mean number of sequences of each domain on a rank in a step, [D][W]. */
function sequencesOfRanks(config: RunConfig): Float64Array[] {
  const { data, train, cluster } = config;
  const worldSize = cluster.nodes * cluster.workersPerNode;
  const homes = homeRanksOfDomain(config, topologyOf(0, cluster.nodes, cluster.workersPerNode));
  const mixture = domainMixture(data.weights ?? data.domains.map(() => 1));
  const size = train.globalBatch / train.microBatches;
  const sequencesDW = data.domains.map(() => new Float64Array(worldSize));
  for (let batch = 0; batch < BATCHES; batch++) {
    const domains = Array.from({ length: size }, (_, i) => mixture.at(batch * size + i).domain);
    const ranks = homes && assignToRanks(domains, homes, worldSize);
    domains.forEach((domain, i) => {
      const each = train.microBatches / BATCHES;
      if (ranks !== null) sequencesDW[domain]![ranks[i]!]! += each;
      else for (let rank = 0; rank < worldSize; rank++) sequencesDW[domain]![rank]! += each / worldSize;
    });
  }
  return sequencesDW;
}
