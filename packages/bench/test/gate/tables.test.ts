import { expect, it } from 'vitest';
import { usable } from '../../src/gate/tables.js';

const KEPT = {
  settings: 'of a digest',
  machine: 'a machine',
  precision: 'bfloat16',
  losses: { 101: 2, 102: 2.1 },
  firstLosses: [6.5, 6.25],
};

it('kept runs of a table hold where its first losses are the same to the bit', () => {
  const { perplexities, why } = usable(KEPT, [6.5, 6.25]);
  expect(perplexities).toEqual({ 101: Math.exp(2), 102: Math.exp(2.1) });
  expect(why).toBe(
    'its first 2 losses are those of a machine (bfloat16) to the bit, so the runs made there are taken',
  );
  expect(usable(KEPT, [6.5, 6.25 + 2 ** -50])).toEqual({
    perplexities: null,
    why: 'its first 2 losses are not those of a machine (bfloat16), so it is trained here too, once',
  });
  expect(usable(undefined, [6.5, 6.25]).perplexities).toBe(null);
});
