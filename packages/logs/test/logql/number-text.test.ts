import { expect, it } from 'vitest';
import { parseBytes, parseDurationS, parseLineDurationS, parseNumber } from '../../src/logql/units.js';
import { sampleText } from '../../src/loki/shapes.js';

it.each([
  [1, '1'],
  [-0.5, '-0.5'],
  [1e-7, '0.0000001'],
  [-1.25e-10, '-0.000000000125'],
  [1e21, '1000000000000000000000'],
  [1.5e300, `15${'0'.repeat(299)}`],
  [Number.NaN, 'NaN'],
  [Number.POSITIVE_INFINITY, '+Inf'],
  [Number.NEGATIVE_INFINITY, '-Inf'],
])('%d is written as %s', (value, text) => {
  expect(sampleText(value)).toBe(text);
});

// stages.test.ts tests numbers in lines through filters; these are the corner cases of the notations.
it.each<[string, number]>([
  ['1h30m', 5400],
  ['-1.5s', -1.5],
  ['.5s', 0.5],
  ['0', 0],
  ['1x', Number.NaN],
  ['', Number.NaN],
])('in a line the duration %s is %d s', (text, seconds) => {
  expect(parseLineDurationS(text)).toBe(seconds);
});

it('in a query a duration may have days, weeks and years', () => {
  expect(['1d', '2w', '1y', '1d12h'].map(parseDurationS)).toEqual([86_400, 1_209_600, 31_536_000, 129_600]);
});

it.each<[string, number]>([
  ['512', 512],
  ['2 kib', 2048],
  ['1XB', Number.NaN],
  [',', Number.NaN],
  ['', Number.NaN],
])('%s is %d bytes', (text, bytes) => {
  expect(parseBytes(text)).toBe(bytes);
});

it.each<[string, number | null]>([
  ['.5', 0.5],
  ['-0X1P-1', -0.5],
  ['NaN', Number.NaN],
  ['0x10', null],
  ['0b1', null],
  [' 1', null],
  ['', null],
  ['_1', null],
])('the number %j is %d', (text, value) => {
  expect(parseNumber(text)).toBe(value);
});
