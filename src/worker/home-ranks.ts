import { nodeOf, type Topology } from '../collectives/topology.js';
import type { RunConfig } from '../config/schema.js';
import type { HomeRanks } from '../data/placement.js';
import { expertsOfRank } from '../routing/expert-placement.js';
import { expertsOfDomain } from '../routing/index.js';

/**
 * With data.placement `domain`, the ranks of the nodes that hold most of the experts of each domain's group: there its
 * tokens find their experts without crossing the network. Where the group is spread evenly over all nodes, as it is
 * without level 1, that leaves the choice open: then the domains are dealt to the nodes in order. Null with `mixed`.
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
  const numDomains = data.domains.length;
  return expertsOfDomain(numDomains, moe).map((group, domain) => {
    const held = expertsOfNode.map((experts) => group.filter((expert) => experts.has(expert)).length);
    const most = Math.max(...held);
    const isOpen = most < group.length && held.every((each) => each === most);
    const dealt = Math.floor((domain * topology.numNodes) / numDomains);
    return ranks.filter((rank) => {
      const node = nodeOf(topology, rank);
      return isOpen ? node === dealt : held[node] === most;
    });
  });
}
