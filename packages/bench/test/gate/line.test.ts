import { expect, it } from 'vitest';
import { lineOf } from '../../src/gate/line.js';

const COMPARED = {
  labels: { own: 'my-router.mjs choices=1', table: 'hash' },
  // Logarithms of the ratios: 0, 0.01 and 0.02.
  perplexity: [
    { own: 7, other: 7 },
    { own: 8 * Math.exp(0.01), other: 8 },
    { own: 9 * Math.exp(0.02), other: 9 },
  ],
  idShare: 0.6104,
  localShare: { own: 0.5209, table: 0.5 },
  stepMs: { own: 108.3, table: 100 },
  cacheHits: { own: 0.71, table: 0.3 },
};

it('has the change of the geometric mean with its interval, and what stands beside the table', () => {
  // The standard error is 0.01 / sqrt(3), and t of two degrees of freedom 4.30265: 0.01 -+ 0.02484.
  expect(lineOf(COMPARED)).toBe(
    'my-router.mjs choices=1: perplexity +1.0 % (-1.5 % to +3.5 %) against hash; as the id before 61.0 %; ' +
      'on its node 52.1 % (table 50.0 %); step +8.3 %; cache hits 71.0 % (table 30.0 %)',
  );
});

it('has no interval of one seed, and names what a router does not have', () => {
  const line = lineOf({
    ...COMPARED,
    perplexity: COMPARED.perplexity.slice(2),
    idShare: null,
    localShare: { own: null, table: 0.5 },
  });
  expect(line).toMatch(
    /: perplexity \+2\.0 % \(one seed\) against hash; as the id before none; on its node none /,
  );
});
