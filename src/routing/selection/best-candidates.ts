// Shapes: N candidates of all ranks, E experts. Each token has K places for candidates, in the order of the
// global token index; -1 is an empty place.

/** Result of the experts' choice among the candidates of all ranks. */
export interface ExpertChoice {
  /** 1 for a candidate that its expert keeps, length N. */
  readonly keptN: Uint8Array;
  /** Affinity of each expert's C-th best candidate, or its last one; NaN without candidates. Length E. */
  readonly cutE: Float32Array;
}

/** Returns the positions of each expert's candidates, ascending. */
export function candidatesByExpert(expertsN: Int32Array, numExperts: number): Int32Array[] {
  const counts = new Int32Array(numExperts);
  for (const expert of expertsN) if (expert >= 0) counts[expert]!++;
  const positions = Array.from(counts, (count) => new Int32Array(count));
  counts.fill(0);
  for (let n = 0; n < expertsN.length; n++) {
    const expert = expertsN[n]!;
    if (expert >= 0) positions[expert]![counts[expert]!++] = n;
  }
  return positions;
}

/** Returns the affinities of each expert's candidates, ascending. */
export function risingAffinities(
  positionsE: readonly Int32Array[],
  affinitiesN: Float32Array,
): Float32Array[] {
  return positionsE.map((positions) => {
    // A loop: Float32Array.from is several times slower on thousands of candidates.
    const rising = new Float32Array(positions.length);
    for (let i = 0; i < positions.length; i++) rising[i] = affinitiesN[positions[i]!]!;
    return rising.sort();
  });
}

/**
 * Makes the expert choice (ECR; ETR, arXiv 2406.00023, eq. 6): each expert keeps the C candidates of highest affinity.
 * (Eq. 6 says "Bottom-C" of the sorted list, the text highest.) The choice depends only on affinities and the global
 * token order, so it is the same on all ranks.
 *
 * @param positionsE candidates of each expert (candidatesByExpert)
 * @param affinitiesN affinity of each candidate
 * @param risingE the same by expert, ascending (risingAffinities)
 * @param capacityE C of each expert; Infinity for no limit
 * @param expertShare share of an expert's capacity that is filled by affinity; the rest is filled first-fit in token order
 */
export function expertChoice(
  positionsE: readonly Int32Array[],
  affinitiesN: Float32Array,
  risingE: readonly Float32Array[],
  capacityE: Float64Array,
  expertShare: number,
): ExpertChoice {
  const keptN = new Uint8Array(affinitiesN.length);
  const cutE = new Float32Array(positionsE.length).fill(Number.NaN);
  positionsE.forEach((positions, expert) => {
    if (positions.length === 0) return;
    const rising = risingE[expert]!;
    const places = Math.min(capacityE[expert]!, positions.length);
    cutE[expert] = rising[positions.length - places] ?? Number.NaN;
    const byAffinity = Math.round(expertShare * places);
    keepBest(positions, affinitiesN, rising, byAffinity, keptN);
    let left = places - byAffinity;
    for (let i = 0; i < positions.length && left > 0; i++) {
      if (keptN[positions[i]!] === 1) continue;
      keptN[positions[i]!] = 1;
      left--;
    }
  });
  return { keptN, cutE };
}

/** Marks the `count` candidates of highest affinity; ties go to the lower token index. */
function keepBest(
  positions: Int32Array,
  affinitiesN: Float32Array,
  rising: Float32Array,
  count: number,
  keptN: Uint8Array,
): void {
  if (count === 0) return;
  const cut = rising[rising.length - count]!;
  // Places left for candidates whose affinity equals the cut.
  let ties = count;
  for (let i = rising.length - 1; rising[i]! > cut; i--) ties--;
  for (let i = 0; i < positions.length; i++) {
    const affinity = affinitiesN[positions[i]!]!;
    if (affinity < cut) continue;
    if (affinity === cut && ties-- <= 0) continue;
    keptN[positions[i]!] = 1;
  }
}
