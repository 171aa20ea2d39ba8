import type { Loader } from '../data/loader.js';
import { positionsOf } from '../data/packing.js';
import { formatCount, formatNumberOf, formatShare } from '../format.js';

/** How question-answer samples were packed into sequences, a line for each domain and split. */
export function describePacking({ packings }: Pick<Loader, 'packings'>, seqLen: number): string[] {
  return packings.map(({ domain, split, packing: { rows, numSamples, numCut, numLeftOut } }) => {
    const filled = rows.reduce(
      (sum, row) => sum + row.reduce((length, sample) => length + positionsOf(sample), 0),
      0,
    );
    const use = split === 'train' ? 'to train on' : 'held out';
    return [
      `${domain}: ${formatNumberOf(numSamples, 'sample')} ${use} in ${formatNumberOf(rows.length, 'sequence')} of ` +
        `${formatCount(seqLen)} tokens (${formatShare(filled / (rows.length * seqLen))} full)`,
      ...(numCut > 0 ? [`${formatCount(numCut)} cut from the left`] : []),
      ...(numLeftOut > 0 ? [`${formatCount(numLeftOut)} left out, whose answer does not fit`] : []),
    ].join('; ');
  });
}
