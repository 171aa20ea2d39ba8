import { expect, it } from 'vitest';
import { Parameters } from '../../src/loki/parameters.js';

const of = (values: Record<string, string>) => new Parameters(new URLSearchParams(values));
const seconds = ({ start, end }: Parameters['range']) => [start.timeMs / 1e3, end.timeMs / 1e3];

it('counts `since` from an end in the past, and from now before one in the future', () => {
  expect(seconds(of({ end: '1000', since: '60s' }).range)).toEqual([940, 1_000]);
  const now = Date.now() / 1e3;
  const [start, end] = seconds(of({ end: String(Math.round(now) + 1_000), since: '60s' }).range);
  expect(end - start).toBeGreaterThan(1_050);
  expect(start).toBeCloseTo(now - 60, -1);
});

it('begins no range before 1970', () => {
  expect(seconds(of({ end: '10', since: '1h' }).range)).toEqual([0, 10]);
});

it('takes a step as it is written, whatever a double makes of it', () => {
  for (const [step, ms] of [
    ['0.29', 290],
    ['1.001', 1_001],
    ['4.35', 4_350],
  ] as const) {
    expect(of({ start: '0', end: '100', step }).stepMs).toBe(ms);
  }
});

it.each([
  '2024-02-31T00:00:00Z',
  '2024-13-01T00:00:00Z',
  '2023-02-29T10:00:00.5+02:00',
  '2024-01-01T24:00:00Z',
])('refuses %s, which no calendar has', (start) => {
  expect(() => of({ start }).range).toThrow(`could not parse 'start' parameter: ${start} is not a time`);
});

it('takes a leap day, in any zone', () => {
  const { start } = of({ start: '2024-02-29t23:30:00.25-01:00', end: '2024-03-02T00:00:00Z' }).range;
  expect(start.timeMs).toBe(Date.UTC(2024, 2, 1, 0, 30, 0, 250));
});

it.each(['0x10', '1e3', ' 7', '5.0', '-1', '0'])(
  'refuses %j lines, as a limit is written in digits',
  (limit) => {
    expect(() => of({ limit }).limit).toThrow('limit must be a positive value');
  },
);

it('takes a limit of whole lines', () => {
  expect(of({ limit: '16' }).limit).toBe(16);
});
