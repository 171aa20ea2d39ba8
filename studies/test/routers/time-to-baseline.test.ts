import { expect, it } from 'vitest';
import { Comparison } from '../../routers/comparison.js';
import { HEADLINE_CELL } from '../../routers/jobs.js';
import { timeToBaseline } from '../../routers/time-to-baseline.js';
import type { VariantId } from '../../routers/variants.js';
import { qualityJob, runResult, timeJob } from './support.js';

/** A run of 200 steps with this perplexity after each half. */
const learned = (variant: VariantId, seed: number, [half, end]: readonly [number, number]) =>
  runResult(qualityJob(variant, seed), {
    perplexity: end,
    validations: [
      { step: 100, perplexity: half },
      { step: 200, perplexity: end },
    ],
  });
const timed = (variant: VariantId, median: number) =>
  runResult(timeJob(HEADLINE_CELL, variant, 1), { stepMs: { median, p10: median, p90: median } });

const comparison = new Comparison([
  ...[1, 2, 3].map((seed) => learned('switch', seed, [64, 16])),
  // After 150 steps, after 175, never.
  learned('locmoe', 1, [32, 8]),
  learned('locmoe', 2, [128, 8]),
  learned('locmoe', 3, [40, 20]),
  // Only one of its seeds gets there.
  learned('locmoe-plus', 1, [32, 8]),
  learned('locmoe-plus', 2, [40, 20]),
  learned('locmoe-plus', 3, [40, 20]),
  learned('moge', 1, [16, 8]),
  learned('hash-first-come', 1, [16, 8]),
  timed('switch', 100),
  timed('locmoe', 80),
  timed('locmoe-plus', 60),
]);

it('is the tokens, median of the seeds, times the time of a step', () => {
  expect(timeToBaseline(comparison, 'locmoe')).toEqual({
    tokens: expect.closeTo(0.875, 12),
    stepTime: expect.closeTo(0.8, 12),
    time: expect.closeTo(0.7, 12),
  });
});

it('is one for the baseline itself', () => {
  expect(timeToBaseline(comparison, 'switch')).toEqual({ tokens: 1, stepTime: 1, time: 1 });
});

it('can be to another reference, in tokens and time of a step', () => {
  const withPlain = new Comparison([
    ...comparison.results,
    ...[1, 2, 3].map((seed) => learned('switch-plain', seed, [64, 32])),
    timed('switch-plain', 160),
  ]);
  expect(timeToBaseline(withPlain, 'switch-plain', 'switch-plain')).toEqual({
    tokens: 1,
    stepTime: 1,
    time: 1,
  });
  // After 100 steps, after 150, and where 40 has come a third of the way to 20.
  const tokens = 0.5 + Math.log2(40 / 32) / 2;
  expect(timeToBaseline(withPlain, 'locmoe', 'switch-plain')).toEqual({
    tokens: expect.closeTo(tokens, 12),
    stepTime: expect.closeTo(0.5, 12),
    time: expect.closeTo(0.5 * tokens, 12),
  });
  expect(timeToBaseline(withPlain, 'switch', 'switch-plain').tokens).toBeCloseTo(0.75, 12);
});

it('is none where most seeds do not get there', () => {
  expect(timeToBaseline(comparison, 'locmoe-plus')).toEqual({
    tokens: null,
    stepTime: expect.closeTo(0.6, 12),
    time: null,
  });
});

it('is none without time runs', () => {
  expect(timeToBaseline(comparison, 'moge')).toEqual({ tokens: 0.5, stepTime: null, time: null });
});

it('is none for a router whose curve is without the drops of its training', () => {
  expect(timeToBaseline(comparison, 'hash-first-come').tokens).toBeNull();
});
