import { describe, expect, it } from 'vitest';
import { likeliest, type Sampling, sample } from '../../src/inference/sampling.js';
import { randomValues } from '../model/support.js';

const ALL: Sampling = { temperature: 1, topK: null, topP: 1, repetitionPenalty: 1 };
const logits = randomValues('logits', 50, 2);
const order = [...logits.keys()].sort((a, b) => logits[b] - logits[a]);
const DRAWS = 20_000;

/** Share of draws of each token, over evenly spread random numbers. */
function shares(sampling: Sampling, context: readonly number[] = []): Float64Array {
  const counts = new Float64Array(logits.length);
  for (let i = 0; i < DRAWS; i++) counts[sample(logits, context, sampling, (i + 0.5) / DRAWS)]++;
  return counts.map((count) => count / DRAWS);
}

function softmax(scores: readonly number[]): number[] {
  const masses = scores.map(Math.exp);
  const total = masses.reduce((a, b) => a + b);
  return masses.map((mass) => mass / total);
}

function expectShares(actual: Float64Array, scores: ReadonlyMap<number, number>): void {
  const probabilities = softmax([...scores.values()]);
  const expected = new Float64Array(logits.length);
  [...scores.keys()].forEach((id, i) => {
    expected[id] = probabilities[i];
  });
  actual.forEach((share, id) => {
    expect(share).toBeCloseTo(expected[id], 3);
  });
}

const scoresOf = (ids: readonly number[], score = (id: number) => logits[id]) =>
  new Map(ids.map((id) => [id, score(id)]));

describe('sample', () => {
  it('draws by the softmax of the logits over the temperature', () => {
    expectShares(shares(ALL), scoresOf(order));
    expectShares(
      shares({ ...ALL, temperature: 0.5 }),
      scoresOf(order, (id) => logits[id] / 0.5),
    );
  });

  it('takes the likeliest without temperature, and of equal ones the first', () => {
    for (const uniform of [0.01, 0.99])
      expect(sample(logits, [], { ...ALL, temperature: 0 }, uniform)).toBe(order[0]);
    expect(sample(Float32Array.of(1, 3, 3), [], { ...ALL, temperature: 0 }, 0.9)).toBe(1);
  });

  it('draws among the top k', () => {
    expectShares(shares({ ...ALL, topK: 7 }), scoresOf(order.slice(0, 7)));
    expectShares(shares({ ...ALL, topK: 999 }), scoresOf(order));
  });

  it('draws from the fewest tokens whose probabilities reach p', () => {
    const probabilities = softmax(order.map((id) => logits[id]));
    let count = 0;
    for (let sum = 0; sum < 0.7; count++) sum += probabilities[count];
    expectShares(shares({ ...ALL, topP: 0.7 }), scoresOf(order.slice(0, count)));
    expectShares(shares({ ...ALL, topP: 1e-9 }), scoresOf(order.slice(0, 1)));
  });

  it('makes tokens of the context less likely', () => {
    const context = [order[0], order[49], order[0]];
    const score = (id: number) =>
      context.includes(id) ? (logits[id] > 0 ? logits[id] / 1.5 : logits[id] * 1.5) : logits[id];
    expectShares(shares({ ...ALL, repetitionPenalty: 1.5 }, context), scoresOf(order, score));
  });

  it('says that a model of NaN is of no use', () => {
    for (const temperature of [0, 1])
      expect(() => sample(Float32Array.of(Number.NaN, 1), [], { ...ALL, temperature }, 0.5)).toThrow(/NaN/);
  });
});

it('likeliest sorts by score, then by id', () => {
  const scores = Float32Array.of(2, 5, 2, 7, 2, 5);
  expect([...likeliest(scores, 6)]).toEqual([3, 1, 5, 0, 2, 4]);
  for (const k of [1, 2, 3, 4, 5]) expect([...likeliest(scores, k)]).toEqual([3, 1, 5, 0, 2, 4].slice(0, k));
});

it('likeliest sorts many as it sorts few', () => {
  const scores = randomValues('many', 300, 2).map((score) => Math.round(score * 4));
  const sorted = [...scores.keys()].sort((a, b) => scores[b] - scores[a] || a - b);
  for (const k of [1, 2, 63, 64, 65, 200, 300]) expect([...likeliest(scores, k)]).toEqual(sorted.slice(0, k));
});
