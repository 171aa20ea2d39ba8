import { expect, it } from 'vitest';
import { narrow, widen } from '../../src/ops/bfloat16.js';

it('rounds to the nearest, ties to even', () => {
  const step = 2 ** -7;
  const values = [1, 1 + step / 2, 1 + 1.5 * step, 1 + 0.51 * step, -1 - 0.49 * step, 0, -0];
  expect([...widen(narrow(Float32Array.from(values)))]).toEqual([1, 1, 1 + 2 * step, 1 + step, -1, 0, -0]);
});

it('keeps what is not finite, and every bfloat16', () => {
  const all = Uint16Array.from({ length: 1 << 16 }, (_, bits) => bits);
  const again = narrow(widen(all));
  all.forEach((bits, i) => {
    const isNaN16 = (bits & 0x7fff) > 0x7f80;
    if (isNaN16) expect(Number.isNaN(widen(again.subarray(i, i + 1))[0])).toBe(true);
    else expect(again[i]).toBe(bits);
  });
  const quiet = new Float32Array(Uint32Array.of(0x7fffffff, 0xff800001).buffer);
  expect([...widen(narrow(quiet))]).toEqual([Number.NaN, Number.NaN]);
  expect([...widen(narrow(Float32Array.of(3.4e38, -3.4e38)))]).toEqual([Infinity, -Infinity]);
});
