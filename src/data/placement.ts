/** Preferred ranks of each domain's sequences, ascending; not empty. */
export type HomeRanks = readonly (readonly number[])[];

/**
 * Assigns the sequences of a global batch to ranks, equally many to each: each sequence in turn goes to the
 * home rank of its domain with the most room left (the lowest on a tie); sequences whose home ranks are full
 * fill the remaining room. A pure function.
 *
 * @param domains domain of each sequence; their number is a multiple of `worldSize`
 * @returns the rank of each sequence
 */
export function assignToRanks(domains: readonly number[], homes: HomeRanks, worldSize: number): Int32Array {
  const room = new Array<number>(worldSize).fill(domains.length / worldSize);
  const everyRank = room.map((_, rank) => rank);
  const rankOfSequence = new Int32Array(domains.length).fill(-1);
  for (const place of [(domain: number) => homes[domain]!, () => everyRank])
    domains.forEach((domain, sequence) => {
      if (rankOfSequence[sequence]! >= 0) return;
      const rank = place(domain).reduce((best, each) => (room[each]! > room[best]! ? each : best));
      if (room[rank] === 0) return;
      rankOfSequence[sequence] = rank;
      room[rank]!--;
    });
  return rankOfSequence;
}
