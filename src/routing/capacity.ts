/**
 * Classic expert capacity, ceil(factor * T * k / n) (Switch Transformer, arXiv 2101.03961, eq. 3).
 *
 * @param factor null drops nothing
 * @returns choices that one expert takes from one rank; Infinity if it takes all
 */
export function classicCapacity(
  factor: number | null,
  numTokens: number,
  numChoices: number,
  numExperts: number,
): number {
  return factor === null ? Infinity : Math.ceil((factor * numTokens * numChoices) / numExperts);
}

export interface CapacityCut {
  /** The choices, -1 where one was dropped. */
  readonly expertsTK: Int32Array;
  /** Choices per expert before and after, length E. */
  readonly routedE: Int32Array;
  readonly keptE: Int32Array;
  /** Choices dropped, by why: the expert was full, or did not want them (none here). */
  readonly overCapacityE: Int32Array;
  readonly notChosenE: Int32Array;
}

/** Keeps the first `capacity` choices of each expert in the order of tokens and drops the rest. */
export function keepFirstCome(chosenTK: Int32Array, numExperts: number, capacity: number): CapacityCut {
  const expertsTK = chosenTK.slice();
  const routedE = new Int32Array(numExperts);
  const keptE = new Int32Array(numExperts);
  chosenTK.forEach((expert, choice) => {
    if (expert < 0) return;
    routedE[expert]++;
    if (keptE[expert] < capacity) keptE[expert]++;
    else expertsTK[choice] = -1;
  });
  const overCapacityE = routedE.map((routed, expert) => routed - keptE[expert]);
  return { expertsTK, routedE, keptE, overCapacityE, notChosenE: new Int32Array(numExperts) };
}

/** Capacity of every expert over all ranks, when each of `worldSize` ranks fills its own share of `capacity` choices. */
export function capacityOfWorld(capacity: number, numExperts: number, worldSize: number): Float64Array {
  return new Float64Array(numExperts).fill(capacity * worldSize);
}
