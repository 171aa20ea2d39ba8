import { expect, it } from 'vitest';
import { permutation } from '../../src/data/shuffle.js';

it.each([1, 2, 1000, 2 ** 18, 2 ** 18 + 1])('permutes %i places', (n) => {
  const at = permutation(n, 'key');
  const seen = new Uint8Array(n);
  for (let i = 0; i < n; i++) seen[at(i)]!++;
  expect(seen.every((times) => times === 1)).toBe(true);
});

it('of many places is spread evenly, differs by key, and does not keep neighbours together', () => {
  const n = 50_000_000;
  const [at, other] = [permutation(n, 'key'), permutation(n, 'other')];
  const tenths = new Array<number>(10).fill(0);
  let near = 0;
  let same = 0;
  for (let i = 0; i < 100_000; i++) {
    tenths[Math.floor((10 * at(i)) / n)]!++;
    if (Math.abs(at(i) - at(i + 1)) < n / 1000) near++;
    if (at(i) === other(i)) same++;
  }
  for (const count of tenths) expect(Math.abs(count - 10_000)).toBeLessThan(500);
  // Expected: 0.2 %.
  expect(near).toBeLessThan(300);
  expect(same).toBeLessThan(5);
});
