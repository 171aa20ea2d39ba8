import { figuresOf } from '@locmoe/bench/internal/gate/figures';
import { globalStep } from '@locmoe/test-kit';
import type { ValidationBatch } from 'locmoe/internal/data/batch';
import { describe, expect, it } from 'vitest';
import { contrastsOf } from '../../gates/contrasts.js';
import type { Planned } from '../../gates/design.js';
import { geometricMean, Results, stepsToReach } from '../../gates/results.js';
import type { Run } from '../../gates/runs.js';
import { testBatches } from '../../gates/test-loss.js';
import { cells, design, runsOf } from './support.js';

const last = design.questions[1]!;
const [hash, own] = last.arms;

/** The results of the planned tests of `own` against `hash` on these runs. */
function tested(runs: readonly Run[], contrasts: readonly Pick<Planned, 'measure' | 'goal'>[]) {
  const planned = contrasts.map((contrast) => ({
    ...contrast,
    arm: own!,
    reference: hash!,
    question: last,
  }));
  return contrastsOf({ ...design, contrasts: planned }, new Results({ cells, runs }));
}

const EQUAL = { measure: 'perplexity', goal: { within: 0.01 } } as const;
const SAVING = { measure: 'stepMs', goal: { atMost: -0.1 } } as const;
const quality = (hashLosses: readonly number[], ownLosses: readonly number[]) => [
  ...runsOf('last', 'hash', 'quality', hashLosses),
  ...runsOf('last', 'own', 'quality', ownLosses),
];
const times = (hashMs: readonly number[], ownMs: readonly number[], more: Partial<Run> = {}) => [
  ...runsOf('last', 'hash', 'time', hashMs),
  ...runsOf('last', 'own', 'time', ownMs, more),
];

describe('contrastsOf', () => {
  it('tests equality on the test losses of the same seed', () => {
    // Log ratios 0.0002 and 0.0004: mean 0.0003, standard error 0.0001, one degree of freedom.
    const [found] = tested(quality([3, 4], [3.0002, 4.0004]), [EQUAL]);
    const pOf = (t: number) => 0.5 - Math.atan(t) / Math.PI;
    expect(found!.p).toBeCloseTo(pOf((Math.log(1.01) - 0.0003) / 0.0001), 8);
    expect(found!.difference!.meanDifference).toBeCloseTo(Math.expm1(0.0003), 9);
    expect(found).toMatchObject({ pairs: 2, planned: 2, verdict: 'equal' });
    expect(tested(quality([3, 4], [3.5, 4.5]), [EQUAL])[0]!.verdict).toBe('not equal');
    expect(tested(quality([3, 4], [3.01, 3.99]), [EQUAL])[0]!.verdict).toBe('undecided');
  });

  it('holds a saving against its goal by the test, not by its mean', () => {
    expect(tested(times([100, 100], [80, 80.1]), [SAVING])[0]!.verdict).toBe('shown');
    const apart = tested(times([100, 100], [60, 95]), [SAVING])[0]!;
    expect(apart.difference!.meanDifference).toBeLessThan(-0.1);
    expect(apart.verdict).toBe('undecided');
    expect(tested(times([100, 100], [95, 95.1]), [SAVING])[0]!.verdict).toBe('not met');
  });

  it('has no verdict before all pairs are there, and counts a test that waits in the correction', () => {
    const runs = [...quality([3, 4], [3.001]), ...times([100, 100], [80, 80.6])];
    const alone = tested(runs, [SAVING])[0]!;
    const [waiting, among] = tested(runs, [EQUAL, SAVING]);
    expect(waiting).toMatchObject({ pairs: 1, planned: 2, p: null, pHolm: null, verdict: null });
    expect(alone).toMatchObject({ pHolm: alone.p, verdict: 'shown' });
    expect(among!.pHolm).toBeCloseTo(2 * alone.p!, 12);
  });

  it('compares times of one machine alone', () => {
    const [found] = tested(times([100, 100], [80, 80.1], { machine: 'another' }), [SAVING]);
    expect(found).toMatchObject({ pairs: 0, verdict: null });
  });

  it('takes the time to a loss from updates and their time, and an arm that does not get there for one that saves nothing', () => {
    const goal = { measure: 'timeToLoss', goal: { atMost: -0.1 } } as const;
    // The loss of the reference is reached half way between both validations: at step 6 of 8, with half the time per
    // step.
    const there = tested([...quality([3, 3], [2.5, 2.5]), ...times([100, 100], [50, 50])], [goal])[0]!;
    expect(there.difference!.meanDifference).toBeCloseTo((6 * 50) / (8 * 100) - 1, 12);
    expect(there.verdict).toBe('shown');
    const never = tested([...quality([3, 3], [2.5, 3.1]), ...times([100, 100], [50, 50])], [goal])[0]!;
    expect(never).toMatchObject({ unreached: 1, difference: null, p: 1, verdict: 'not met' });
  });
});

it('stepsToReach goes between validations by the straight line of the loss', () => {
  const curve = [4, 3, 2].map((loss, i) => ({ step: 10 * (i + 1), loss, domains: {} }));
  expect([5, 4, 3.25, 2, 1.9].map((loss) => stepsToReach(curve, loss))).toEqual([
    10,
    10,
    17.5,
    30,
    Number.POSITIVE_INFINITY,
  ]);
});

it('geometricMean has the interval of the logarithms', () => {
  const { mean, interval } = geometricMean([2, 8]);
  expect(mean).toBeCloseTo(4, 12);
  // t of one degree of freedom at 97.5 %; the standard error is log 2.
  expect(interval!.high).toBeCloseTo(4 * 2 ** 12.706204736, 3);
  expect(geometricMean([5])).toEqual({ mean: 5, interval: null });
});

it('figuresOf has means over the training and its last quarter, and does without sparse layers', () => {
  const steps = Array.from({ length: 40 }, (_, i) => {
    const step = globalStep(i + 1, { stepMs: i < 20 ? 900 : 100, idShare: i < 30 ? 0 : 0.5 });
    const twice = step.layers.map((layer) => ({ ...layer, kept: layer.kept.map((count) => 2 * count) }));
    return i < 20 ? { ...step, layers: twice } : step;
  });
  const domains = [
    { domain: 'a', loss: 2, tokens: 300 },
    { domain: 'b', loss: 4, tokens: 100 },
  ];
  const figures = figuresOf(steps, [{ step: 40, domains }]);
  // Two layers of four experts keep 40 and 24 of 50 and 30 choices of 64 tokens.
  expect(figures).toMatchObject({
    stepMs: 100,
    allToAllShare: 0.2,
    expertsPerToken: { mean: 0.75, end: 0.5 },
    idShare: 0.5,
    localShare: 0.75,
    curve: [{ step: 40, loss: 3, domains: { a: 2, b: 4 } }],
  });
  const dense = figuresOf(
    steps.map((step) => ({ ...step, layers: [] })),
    [],
  );
  expect(dense).toMatchObject({ expertsPerToken: null, localShare: null });
});

/** Held-out sequences of two tokens, as domain and index; the last row is padding. */
function batchOf(places: readonly (readonly [domain: number, index: number])[]): ValidationBatch {
  const rows = [...places, places[0]!];
  return {
    numSequences: rows.length,
    seqLen: 2,
    tokenIds: new Int32Array(2 * rows.length),
    targets: new Int32Array(2 * rows.length),
    domains: Int32Array.from(rows, ([domain]) => domain),
    valid: Uint8Array.from(rows, (_, i) => (i < places.length ? 1 : 0)),
    sequences: Int32Array.from(rows.keys()),
    ranges: rows.map(([, index]) => [{ begin: 2 * index, end: 2 * index + 3 }]),
  };
}

it('testBatches takes no sequence that a validation reads nor one with a token of a known document, and so many of each domain', () => {
  const all = [0, 1].flatMap((domain) => [0, 10].map((from) => [domain, from] as const));
  const batches = all.map(([domain, from]) =>
    batchOf(Array.from({ length: 10 }, (_, i) => [domain, from + i])),
  );
  const read = [
    batchOf([
      [0, 3],
      [0, 10],
      [1, 0],
    ]),
  ];
  // Tokens 18 to 20 of the first domain are of a document that screening has seen. Ranges have one token more than inputs.
  const isNew = (domain: number, { begin, end }: { begin: number; end: number }) =>
    domain !== 0 || end <= 18 || begin > 20;
  const taken = (numSequences: number) =>
    testBatches(batches, read, isNew, numSequences).flatMap(({ domains, valid, ranges }) =>
      [...valid.keys()]
        .filter((row) => valid[row] === 1)
        .map((row) => `${domains[row]} ${ranges[row]![0]!.begin / 2}`),
    );
  expect(taken(100)).toEqual([
    ...[0, 1, 2, 4, 5, 6, 7, 11, 12, 13, 14, 15, 16, 17, 18, 19].map((index) => `0 ${index}`),
    ...Array.from({ length: 19 }, (_, i) => `1 ${i + 1}`),
  ]);
  expect(taken(2)).toEqual(['0 0', '0 12', '1 1', '1 10']);
});
