import { expect, it } from 'vitest';
import { costOfGates, GATES } from '../../routers/cost.js';

it('times every gate, forward and with gradients', () => {
  const rows = costOfGates(64, 8);
  expect(rows.map(({ gate }) => gate)).toEqual(GATES);
  for (const { forwardUs, forwardBackwardUs } of rows)
    for (const { p10, median, p90 } of [forwardUs, forwardBackwardUs]) {
      expect(p10).toBeGreaterThan(0);
      expect(median).toBeGreaterThanOrEqual(p10);
      expect(p90).toBeGreaterThanOrEqual(median);
    }
});
