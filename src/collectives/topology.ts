/** The place of a rank in the world: rank = node * workersPerNode + localRank. */
export interface Topology {
  readonly rank: number;
  readonly worldSize: number;
  readonly node: number;
  readonly localRank: number;
  readonly numNodes: number;
  readonly workersPerNode: number;
}

/** Returns the topology of `rank` in a world of `numNodes` nodes with `workersPerNode` workers each. */
export function topologyOf(rank: number, numNodes: number, workersPerNode: number): Topology {
  return {
    rank,
    worldSize: numNodes * workersPerNode,
    node: nodeOf({ workersPerNode }, rank),
    localRank: rank % workersPerNode,
    numNodes,
    workersPerNode,
  };
}

/** Returns the node that holds `rank`. */
export function nodeOf({ workersPerNode }: Pick<Topology, 'workersPerNode'>, rank: number): number {
  return Math.floor(rank / workersPerNode);
}

/** Returns all other ranks, starting with the next one, so that the ranks do not all address the same peer first. */
export function otherRanks({ rank, worldSize }: Topology): number[] {
  return Array.from({ length: worldSize - 1 }, (_, i) => (rank + 1 + i) % worldSize);
}
