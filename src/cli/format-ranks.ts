/** Formats [0, 2, 3, 4] as "ranks 0, 2-4". */
export function formatRanks(ranks: readonly number[]): string {
  const stretches: [number, number][] = [];
  for (const rank of [...ranks].sort((a, b) => a - b)) {
    const last = stretches.at(-1);
    if (last !== undefined && last[1] === rank - 1) last[1] = rank;
    else stretches.push([rank, rank]);
  }
  const words = stretches.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`));
  return `${ranks.length === 1 ? 'rank' : 'ranks'} ${words.join(', ')}`;
}
