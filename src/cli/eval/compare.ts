import { compareSamples } from '../../evaluation/compare.js';
import { formatCount, formatTable } from '../../format.js';
import { formatPercent } from './format-score.js';

export interface CompareOptions {
  readonly files: readonly [a: string, b: string];
  readonly seed: number;
  readonly json: boolean;
}

export function compareAnswers({ files: [a, b], seed, json }: CompareOptions): void {
  const comparison = compareSamples(a, b, seed);
  if (json) {
    console.log(JSON.stringify({ a, b, seed, ...comparison }));
    return;
  }
  const { metrics, unpaired, otherPrompts } = comparison;
  console.log(`A: ${a}\nB: ${b}`);
  const points = (share: number) => (100 * share).toFixed(1);
  console.log(
    formatTable(
      [
        [
          'scored by',
          'measure',
          'questions',
          'A',
          'B',
          'B - A, points',
          '95 %',
          'A alone',
          'B alone',
          'McNemar p',
        ],
        ...metrics.map((row) => [
          row.filter,
          row.metric,
          formatCount(row.n),
          formatPercent(row.a),
          formatPercent(row.b),
          points(row.difference),
          `${points(row.interval.low)} .. ${points(row.interval.high)}`,
          formatCount(row.onlyA),
          formatCount(row.onlyB),
          row.pValue.toPrecision(2),
        ]),
      ],
      { textColumns: [1] },
    ),
  );
  if (unpaired.a + unpaired.b > 0)
    console.log(`without a partner: ${formatCount(unpaired.a)} of A, ${formatCount(unpaired.b)} of B`);
  if (otherPrompts > 0)
    console.log(`${formatCount(otherPrompts)} pairs had different prompts: other shots, or another form`);
}
