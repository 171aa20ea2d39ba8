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

it.each<[string, number]>([
  ['1h30m', 5400],
  ['-1.5s', -1.5],
  ['200ms', 0.2],
  ['.5s', 0.5],
  ['0', 0],
  ['90', Number.NaN],
  ['1x', Number.NaN],
  ['', Number.NaN],
  ['1d', Number.NaN],
])('in a line the duration %s is %d s', (text, seconds) => {
  expect(parseLineDurationS(text)).toBe(seconds);
});

it('in a query a duration may have days, weeks and years', () => {
  expect(['1d', '2w', '1y', '1d12h'].map(parseDurationS)).toEqual([86_400, 1_209_600, 31_536_000, 129_600]);
});

it.each<[string, number]>([
  ['512', 512],
  ['2KB', 2000],
  ['2 kib', 2048],
  ['2,048', 2048],
  ['1.5B', 1],
  ['1XB', Number.NaN],
  [',', Number.NaN],
  ['', Number.NaN],
])('%s is %d bytes', (text, bytes) => {
  expect(parseBytes(text)).toBe(bytes);
});

it.each<[string, number | null]>([
  ['1e3', 1000],
  ['.5', 0.5],
  ['0x1.8p3', 12],
  ['-0X1P-1', -0.5],
  ['+inf', Number.POSITIVE_INFINITY],
  ['NaN', Number.NaN],
  ['0x10', null],
  ['0b1', null],
  [' 1', null],
  ['', null],
  ['1_000', 1000],
  ['_1', null],
])('the number %j is %d', (text, value) => {
  expect(parseNumber(text)).toBe(value);
});
