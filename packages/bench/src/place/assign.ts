// E experts, W ranks, m = E / W experts on each.

/** Cost of each expert on each rank, row-major [E, W]. */
export interface AssignmentCosts {
  readonly numExperts: number;
  readonly numRanks: number;
  readonly costEW: Float64Array;
}

/**
 * Finds the assignment of least total cost with equally many experts on each rank: a transportation problem, solved exactly by
 * successive shortest paths. An expert after the other is added along the cheapest chain of moves that ends at a rank with room;
 * after each, the experts so far are placed at least cost (Ahuja, Magnanti and Orlin, Network Flows, section 9.7).
 *
 * @returns the rank of each expert
 */
export function cheapestAssignment({ numExperts, numRanks, costEW }: AssignmentCosts): Int32Array {
  const perRank = numExperts / numRanks;
  const rankE = new Int32Array(numExperts).fill(-1);
  const heldByRank = Array.from({ length: numRanks }, () => [] as number[]);
  const costOf = (expert: number, rank: number) => costEW[expert * numRanks + rank]!;
  // Sums of floats must not find a gain in a circle of moves that has none.
  const least = 1e-12 * costEW.reduce((most, each) => Math.max(most, Math.abs(each)), 0);
  /** Cheapest move from one rank to another, and its expert, row-major [W, W]; Infinity from a rank without experts. */
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
 * Shortens the distances to all ranks by moves between ranks (Bellman and Ford); an assignment at least cost has no circle of
 * moves that gains.
 *
 * @param distances of the first rank of a path alone; changed
 * @param least gain that counts
 * @returns the rank before each on its path; -1 for the first
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
