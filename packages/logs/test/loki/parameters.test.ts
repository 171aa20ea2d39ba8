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
