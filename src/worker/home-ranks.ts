import { nodeOf, type Topology } from '../collectives/topology.js';
import type { RunConfig } from '../config/schema.js';
import type { HomeRanks } from '../data/placement.js';
import { expertsOfRank } from '../routing/expert-placement.js';
import { expertsOfDomain, heldExperts } from '../routing/index.js';

/**
 * Preferred ranks of each domain's sequences with data.placement `domain`: those of the nodes that hold most
 * experts of the domain's group, so that its tokens need not cross the network. If the group is spread evenly
 * over all nodes (as without level 1), domains are assigned to nodes round-robin. Null with `mixed`.
 */
export function homeRanksOfDomain({ data, moe }: RunConfig, topology: Topology): HomeRanks | null {
  if (data.placement === 'mixed') return null;
  const ranks = Array.from({ length: topology.worldSize }, (_, rank) => rank);
  const { first, count } = heldExperts(moe);
  const nodes = Array.from({ length: topology.numNodes }, (_, node) => node);
  const expertsOfNode = nodes.map(
    (node) =>
      new Set(
        ranks
          .filter((rank) => nodeOf(topology, rank) === node)
          .flatMap((rank) => expertsOfRank(count, topology.worldSize, rank))
          .map((expert) => first + expert),
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
