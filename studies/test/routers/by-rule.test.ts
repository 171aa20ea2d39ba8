import { expect, it } from 'vitest';
import { alternating } from '../../routers/by-rule.js';

it('lets domains alternate by their share, and leaves out what is padding', () => {
  const domains = Int32Array.of(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2);
  const valid = Uint8Array.of(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0);
  const rows = alternating(domains, valid);
  expect([...rows].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  // In either half the half of every domain.
  const firstHalf = rows.slice(0, 5).map((row) => domains[row]!);
  expect(firstHalf.sort((a, b) => a - b)).toEqual([0, 0, 1, 1, 2]);
});
