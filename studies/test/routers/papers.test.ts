import { expect, it } from 'vitest';
import { Comparison } from '../../routers/comparison.js';
import { HEADLINE_CELL } from '../../routers/jobs.js';
import { contrastsOf, contrastTable, setFigures } from '../../routers/papers.js';
import type { VariantId } from '../../routers/variants.js';
import { qualityJob, runResult, timeJob } from './support.js';

/** Values of the seeds 1, 2, ... of each router. */
type Seeds = Readonly<Partial<Record<VariantId, readonly number[]>>>;

function comparisonOf({ perplexity = {}, stepMs = {} }: { perplexity?: Seeds; stepMs?: Seeds }): Comparison {
  const runs = (seeds: Seeds, run: (variant: VariantId, seed: number, value: number) => unknown) =>
    Object.entries(seeds).flatMap(([variant, values]) =>
      values.map((value, i) => run(variant as VariantId, i + 1, value)),
    );
  return new Comparison([
    ...runs(perplexity, (variant, seed, value) =>
      runResult(qualityJob(variant, seed), { perplexity: value }),
    ),
    ...runs(stepMs, (variant, seed, value) =>
      runResult(timeJob(HEADLINE_CELL, variant, seed), { stepMs: { median: value, p10: value, p90: value } }),
    ),
  ] as ConstructorParameters<typeof Comparison>[0]);
}

function contrast(
  values: Parameters<typeof comparisonOf>[0],
  variant: VariantId,
  reference: VariantId,
  measure: 'step time' | 'perplexity',
) {
  return contrastsOf(comparisonOf(values)).find(
    (each) => each.variant === variant && each.reference === reference && each.measure === measure,
  )!;
}

it('says equal only where the test of equivalence rejects', () => {
  const close = { switch: [50, 51, 52], locmoe: [50.05, 51.1, 52.05] };
  const equal = contrast({ perplexity: close }, 'locmoe', 'switch', 'perplexity');
  expect(equal.verdict).toBe('equal');
  expect(equal.pHolm).toBeLessThan(0.05);

  // Surely not worse by 1 %, but perhaps better by more: what was planned is not shown.
  const notWorse = { switch: [50, 50, 50], 'locmoe-plus': [50.05, 49.45, 49.7] };
  const undecided = contrast({ perplexity: notWorse }, 'locmoe-plus', 'switch', 'perplexity');
  expect(undecided.verdict).toBe('undecided');
  expect(undecided.p).toBeGreaterThan(0.05);
});

it('has no good word beside a p near 1, also where a router is far better', () => {
  const better = { switch: [60, 61, 66], locmoe: [53, 53.5, 54] };
  const found = contrast({ perplexity: better }, 'locmoe', 'switch', 'perplexity');
  expect(found.p).toBeGreaterThan(0.9);
  expect(found.difference!.interval!.high).toBeLessThan(-0.01);
  expect(found.verdict).toBe('not equal');
});

it("holds a saving against the papers' figure by the test, not by its mean", () => {
  const hash = [100, 100, 100];
  const saving = (locmoe: readonly number[]) =>
    contrast({ stepMs: { hash, locmoe } }, 'locmoe', 'hash', 'step time');
  expect(saving([80, 81, 80.5])).toMatchObject({ goal: -0.1268, verdict: 'shown' });
  // The mean is below, the seeds are far apart.
  const apart = saving([70, 80, 95]);
  expect(apart.difference!.meanDifference).toBeLessThan(-0.1268);
  expect(apart.verdict).toBe('undecided');
  expect(saving([95, 95.5, 95.2]).verdict).toBe('not met');
  // One seed tests nothing.
  expect(contrast({ stepMs: { hash: [100], locmoe: [50] } }, 'locmoe', 'hash', 'step time')).toMatchObject({
    p: null,
    verdict: 'undecided',
  });
});

it('corrects for all tests together: what one alone would show, several do not', () => {
  const hash = [100, 100, 100];
  const locmoe = [80, 83, 84];
  const alone = contrast({ stepMs: { hash, locmoe } }, 'locmoe', 'hash', 'step time');
  expect(alone).toMatchObject({ verdict: 'shown', pHolm: alone.p });
  const others = { switch: [90, 100, 110], 'locmoe-plus': [70, 90, 80] };
  const among = contrast({ stepMs: { hash, locmoe, ...others } }, 'locmoe', 'hash', 'step time');
  expect(among.p).toBe(alone.p);
  expect(among.pHolm).toBeGreaterThan(0.05);
  expect(among.verdict).toBe('undecided');
});

it('compares each figure with its counterpart, has the control of level 1, and calls inputs inputs', () => {
  const contrasts = contrastsOf(comparisonOf({}));
  const goalOf = (reference: VariantId) =>
    contrasts.find(
      (each) => each.variant === 'locmoe' && each.reference === reference && each.measure === 'step time',
    )!.goal;
  expect([goalOf('hash'), goalOf('switch'), goalOf('hash-two-level')]).toEqual([-0.1268, -0.2224, null]);

  const stepMs = { hash: [122, 120, 124], 'hash-two-level': [97, 96, 98], switch: [126, 131, 126] };
  const comparison = comparisonOf({ stepMs, perplexity: { switch: [50], 'locmoe-plus': [50] } });
  const text = contrastTable(contrastsOf(comparison));
  expect(text).toMatch(
    /\| two-level hash \(RRE\): step time against hash \| control: .* \| -20\.5 % \(-\d+\.\d % to -\d+\.\d %\) \| {2}\| {2}\| {2}\| {2}\|/,
  );
  expect(text).toMatch(
    /\| LocMoE \+ token preference: step time against hash \| -12\.68 % \| no run \| at most -12\.68 % \|/,
  );
  expect(setFigures(comparison, 8)).toMatchObject({
    setUsed: 'no run',
    setTokens: expect.stringMatching(/ %$/),
  });
  expect(text).not.toContain('reached');
});
