import { nodeOf, type Topology } from '../collectives/topology.js';
import type { RunConfig } from '../config/schema.js';
import type { HomeRanks } from '../data/placement.js';
import { placementOf } from '../routing/groups/expert-placement.js';
import { expertsOfDomain, heldExperts } from '../routing/index.js';

/**
 * Returns the preferred ranks of each domain's sequences with data.placement `domain`: the ranks of the nodes that hold
 * more than an even share of the experts of the domain's group over all sparse layers, so that its tokens need not
 * cross the network. If the group is spread evenly over all nodes (as without level 1), the domains are split evenly
 * among the nodes, in order. Null with `mixed`.
 */
export function homeRanksOfDomain({ data, model, moe }: RunConfig, topology: Topology): HomeRanks | null {
  if (data.placement === 'mixed') return null;
  const ranks = Array.from({ length: topology.worldSize }, (_, rank) => rank);
  const { first } = heldExperts(moe);
  const nodes = Array.from({ length: topology.numNodes }, (_, node) => node);
  // Without a sparse layer, the domains go where their experts would be placed.
  const placements = Array.from({ length: Math.max(1, model.numSparseLayers) }, (_, i) =>
    placementOf(moe, topology.worldSize, model.numDenseLayers + i),
  );
  const expertsOfNode = nodes.map((node) => {
    const ofNode = ranks.filter((rank) => nodeOf(topology, rank) === node);
    return placements.map((placement) => new Set(ofNode.flatMap((rank) => placement.expertsOfRank(rank))));
  });
  const numDomains = data.domains.length;
  return expertsOfDomain(numDomains, moe).map((group, domain) => {
    const evenShare = (placements.length * group.length) / topology.numNodes;
    const homes = nodes.filter((node) => {
      const held = expertsOfNode[node]!.map(
        (experts) => group.filter((expert) => experts.has(expert - first)).length,
      );
      return held.reduce((sum, each) => sum + each, 0) > evenShare;
    });
    const dealt = Math.floor((domain * topology.numNodes) / numDomains);
    return ranks.filter((rank) => (homes.length === 0 ? [dealt] : homes).includes(nodeOf(topology, rank)));
  });
}
