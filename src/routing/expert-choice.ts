// Shapes: N candidates of all ranks, E experts. A candidate is a place in a token's list of choices; candidates are in
// the order of global token index, and -1 marks a place that is empty.

/** The choices of experts among the tokens of all ranks. */
export interface ExpertChoice {
  /** 1 where the expert keeps the candidate, length N. */
  readonly keptN: Uint8Array;
  /** Affinity of each expert's C-th best candidate, of its last one if it has fewer; NaN if it has none. Length E. */
  readonly cutE: Float32Array;
}

/** Positions of each expert's candidates, ascending. */
export function candidatesByExpert(expertsN: Int32Array, numExperts: number): Int32Array[] {
  const counts = new Int32Array(numExperts);
  for (const expert of expertsN) if (expert >= 0) counts[expert]++;
  const positions = Array.from(counts, (count) => new Int32Array(count));
  counts.fill(0);
  for (let n = 0; n < expertsN.length; n++) {
    const expert = expertsN[n];
    if (expert >= 0) positions[expert][counts[expert]++] = n;
  }
  return positions;
}

/** Affinities of each expert's candidates, rising. */
export function risingAffinities(
  positionsE: readonly Int32Array[],
  affinitiesN: Float32Array,
): Float32Array[] {
  return positionsE.map((positions) => {
    // A loop: the candidates of all ranks are thousands, and Float32Array.from takes several times as long.
    const rising = new Float32Array(positions.length);
    for (let i = 0; i < positions.length; i++) rising[i] = affinitiesN[positions[i]];
    return rising.sort();
  });
}

/**
 * Expert choice (ECR; ETR, arXiv 2406.00023, eq. 6): each expert keeps, of the tokens that are its candidates, the C with
 * the highest affinity. (The paper prints "Bottom-C" of the sorted list; its text says highest.) It is a function of
 * affinities and global token order alone, so every rank that knows all candidates comes to the same choice.
 *
 * @param positionsE candidates of each expert (see candidatesByExpert)
 * @param affinitiesN affinity of each candidate
 * @param risingE the same by expert (see risingAffinities)
 * @param capacityE C of each expert; Infinity keeps all
 * @param expertShare share of an expert's places that go by affinity; the others go to what candidates are left in the
 *   order of tokens, as token choice with a capacity does
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
    const rising = risingE[expert];
    const places = Math.min(capacityE[expert], positions.length);
    cutE[expert] = rising[positions.length - places];
    const byAffinity = Math.round(expertShare * places);
    keepBest(positions, affinitiesN, rising, byAffinity, keptN);
    let left = places - byAffinity;
    for (let i = 0; i < positions.length && left > 0; i++) {
      if (keptN[positions[i]] === 1) continue;
      keptN[positions[i]] = 1;
      left--;
    }
  });
  return { keptN, cutE };
}

/** Marks the `count` candidates of highest affinity; of equal ones the first in the order of tokens. */
function keepBest(
  positions: Int32Array,
  affinitiesN: Float32Array,
  rising: Float32Array,
  count: number,
  keptN: Uint8Array,
): void {
  if (count === 0) return;
  const cut = rising[rising.length - count];
  // Places that are left for candidates of just the last affinity.
  let ties = count - (rising.length - firstAbove(rising, cut));
  for (let i = 0; i < positions.length; i++) {
    const affinity = affinitiesN[positions[i]];
    if (affinity < cut) continue;
    if (affinity === cut && ties-- <= 0) continue;
    keptN[positions[i]] = 1;
  }
}

/** Index of the first element above `value` in a rising list; its length if there is none. */
function firstAbove(rising: Float32Array, value: number): number {
  let low = 0;
  let high = rising.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rising[middle] > value) high = middle;
    else low = middle + 1;
  }
  return low;
}
