import { expect, test } from 'vitest';
import { numPairs, packPairs, unpackPairs } from '../../src/collectives/bfloat16-pairs.js';
import { narrow, widen } from '../../src/ops/bfloat16.js';
import { randomOf } from '../random.js';

const bitsOf = ({ buffer, byteOffset, length }: Float32Array) => new Uint32Array(buffer, byteOffset, length);

test.each([1, 2, 3, 7, 4096, 8191, 8192, 8193, 8197, 20_001])(
  '%i numbers arrive as the sender has rounded its own',
  (length) => {
    // Random bits give every exponent and sign; NaN is tested below.
    const random = randomOf(length);
    const bits = Uint32Array.from({ length }, () => random() * 2 ** 32);
    const values = new Float32Array(bits.buffer).map((value) => (Number.isNaN(value) ? 1 : value));
    const expected = widen(narrow(values));
    const pairs = new Uint32Array(numPairs(length));
    packPairs(values, pairs);
    expect(bitsOf(values)).toEqual(bitsOf(expected));
    const arrived = new Float32Array(length).fill(7);
    unpackPairs(pairs, arrived);
    expect(bitsOf(arrived)).toEqual(bitsOf(expected));
  },
);

test('ties go to even, and what is not finite stays so', () => {
  const bits = [
    0x3f808000, 0x3f818000, 0x3f808001, 0x7f800000, 0xff800000, 0x7fffffff, 0xffffffff, 0x7f800001,
  ];
  const values = new Float32Array(Uint32Array.from(bits).buffer);
  packPairs(values, new Uint32Array(numPairs(values.length)));
  expect([...bitsOf(values)].slice(0, 5)).toEqual([
    0x3f800000, 0x3f820000, 0x3f810000, 0x7f800000, 0xff800000,
  ]);
  expect([...values].slice(5)).toEqual([NaN, NaN, NaN]);
});
