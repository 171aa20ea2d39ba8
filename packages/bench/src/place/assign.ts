// E experts, W ranks, m = E / W experts on each.

/** Cost of each expert on each rank, row-major [E, W]. */
export interface AssignmentCosts {
  readonly numExperts: number;
  readonly numRanks: number;
  readonly costEW: Float64Array;
}

/**
 * Finds the assignment of minimum total cost with equally many experts on each rank: a transportation
 * problem, solved exactly by successive shortest paths. Experts are added one by one along the cheapest chain
 * of moves that ends at a rank with room; after each addition, the experts so far are placed at minimum cost
 * (Ahuja, Magnanti and Orlin, Network Flows, section 9.7).
 *
 * @returns the rank of each expert
 */
export function cheapestAssignment({ numExperts, numRanks, costEW }: AssignmentCosts): Int32Array {
  const perRank = numExperts / numRanks;
  const rankE = new Int32Array(numExperts).fill(-1);
  const heldByRank = Array.from({ length: numRanks }, () => [] as number[]);
  const costOf = (expert: number, rank: number) => costEW[expert * numRanks + rank]!;
  // Rounding errors must not make a cycle of moves look like a gain.
  const least = 1e-12 * costEW.reduce((most, each) => Math.max(most, Math.abs(each)), 0);
  /** Cheapest move between ranks, row-major [W, W], and its expert; Infinity from a rank without experts. */
  const moveWW = new Float64Array(numRanks * numRanks).fill(Number.POSITIVE_INFINITY);
  const moverWW = new Int32Array(numRanks * numRanks);
  const updateMovesFrom = (from: number) => {
    for (let to = 0; to < numRanks; to++) {
      let best = Number.POSITIVE_INFINITY;
      for (const expert of heldByRank[from]!) {
        const cost = costOf(expert, to) - costOf(expert, from);
        if (cost >= best) continue;
        best = cost;
        moverWW[from * numRanks + to] = expert;
      }
      moveWW[from * numRanks + to] = best;
    }
  };
  for (let expert = 0; expert < numExperts; expert++) {
    const distances = costEW.slice(expert * numRanks, (expert + 1) * numRanks);
    const before = shortestPaths(distances, moveWW, least);
    let end = -1;
    for (let rank = 0; rank < numRanks; rank++)
      if (heldByRank[rank]!.length < perRank && (end < 0 || distances[rank]! < distances[end]!)) end = rank;
    const touched = [end];
    for (let to = end; before[to]! >= 0; to = before[to]!) {
      const from = before[to]!;
      const mover = moverWW[from * numRanks + to]!;
      heldByRank[from]!.splice(heldByRank[from]!.indexOf(mover), 1);
      heldByRank[to]!.push(mover);
      rankE[mover] = to;
      touched.push(from);
    }
    const first = touched.at(-1)!;
    heldByRank[first]!.push(expert);
    rankE[expert] = first;
    for (const rank of touched) updateMovesFrom(rank);
  }
  return rankE;
}

/**
 * Shortens the distances to all ranks by moves between ranks (Bellman and Ford). An assignment of minimum
 * cost has no cycle of moves with a gain.
 *
 * @param distances costs of placing the new expert directly on each rank; changed in place
 * @param least smallest gain that counts
 * @returns the previous rank on the path to each rank; -1 for the first
 */
function shortestPaths(distances: Float64Array, moveWW: Float64Array, least: number): Int32Array {
  const numRanks = distances.length;
  const before = new Int32Array(numRanks).fill(-1);
  let changed = true;
  for (let round = 0; changed && round < numRanks; round++) {
    changed = false;
    for (let from = 0; from < numRanks; from++)
      for (let to = 0; to < numRanks; to++) {
        const through = distances[from]! + moveWW[from * numRanks + to]!;
        if (!(through < distances[to]! - least)) continue;
        distances[to] = through;
        before[to] = from;
        changed = true;
      }
  }
  return before;
}

export function costOfAssignment(
  { numRanks, costEW }: AssignmentCosts,
  rankE: ArrayLike<number> & Iterable<number>,
): number {
  let total = 0;
  let expert = 0;
  for (const rank of rankE) total += costEW[expert++ * numRanks + rank]!;
  return total;
}
