import { describe, expect, it } from 'vitest';
import { freeOf } from '../../src/plan/measure/exchange-costs.js';
import { measureVisible } from '../../src/plan/measure/fit.js';

const EXCHANGE = { wakeUs: 50, hopUs: 200, messageUs: 3, byteNs: 0.1, frameUs: 30, streamByteNs: 0.5 };

/** Takes these measurements one after another; those below 0 are hidden. */
async function measureOf(results: number[]) {
  const said: string[] = [];
  const measure = async () => results.shift()!;
  const hidden = (result: number) => (result < 0 ? 'hops' : null);
  const measured = await measureVisible(measure, hidden, (line) => said.push(line)).catch((error) => error);
  return { measured, said, numLeft: results.length };
}

describe('a cost that other work hides', () => {
  it('is measured again, and what follows is not', async () => {
    expect(await measureOf([-1, -2, 3, 4])).toEqual({
      measured: 3,
      said: Array(2).fill(
        '  hops seem to cost nothing, so other work on this machine hides it; measuring again',
      ),
      numLeft: 1,
    });
  });

  it('is refused after three measurements', async () => {
    const { measured, numLeft } = await measureOf([-1, -2, -3, 4]);
    expect(measured).toMatchObject({
      code: 'NO_RESOURCE',
      message: expect.stringMatching(
        /^hops cost nothing in 3 measurements: .*; calibrate while there is none$/,
      ),
    });
    expect(numLeft).toBe(1);
  });
});

describe('of an exchange', () => {
  it.each([
    ['exchanges in a node', { wakeUs: 0, messageUs: 0 }],
    ['exchanges between nodes', { hopUs: 0, frameUs: 0 }],
    ['bytes of exchanges', { byteNs: 0, streamByteNs: 0 }],
  ])('%s cannot be free', (what, costs) => {
    expect(freeOf({ ...EXCHANGE, ...costs })).toBe(what);
  });

  it.each(Object.keys(EXCHANGE))('%s alone can: the fit may have counted it elsewhere', (cost) => {
    expect(freeOf({ ...EXCHANGE, [cost]: 0 })).toBeNull();
  });
});
