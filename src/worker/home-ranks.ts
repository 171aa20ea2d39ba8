import { nodeOf, type Topology } from '../collectives/topology.js';
import type { RunConfig } from '../config/schema.js';
import type { HomeRanks } from '../data/placement.js';
import { expertsOfRank } from '../model/index.js';
import { expertsOfDomain } from '../routing/index.js';

/**
 * With data.placement `domain`, the ranks of the nodes that hold most of the experts of each domain's group: there its
 * tokens find their experts without crossing the network. Null with `mixed`.
 */
export function homeRanksOfDomain({ data, moe }: RunConfig, topology: Topology): HomeRanks | null {
  if (data.placement === 'mixed') return null;
  const ranks = Array.from({ length: topology.worldSize }, (_, rank) => rank);
  const nodes = Array.from({ length: topology.numNodes }, (_, node) => node);
  const expertsOfNode = nodes.map(
    (node) =>
      new Set(
        ranks
          .filter((rank) => nodeOf(topology, rank) === node)
          .flatMap((rank) => expertsOfRank(moe.numExperts, topology.worldSize, rank)),
      ),
  );
  return expertsOfDomain(data.domains.length, moe).map((group) => {
    const held = expertsOfNode.map((experts) => group.filter((expert) => experts.has(expert)).length);
    const most = Math.max(...held);
    return ranks.filter((rank) => held[nodeOf(topology, rank)] === most);
  });
}
