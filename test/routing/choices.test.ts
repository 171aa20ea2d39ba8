import { describe, expect, it } from 'vitest';
import { CounterRandom } from '../../src/parameters/counter-random.js';
import { candidatesByExpert, expertChoice, risingAffinities } from '../../src/routing/expert-choice.js';
import { randomIntegers } from '../model/support.js';
import { sum } from './context.js';

/** The choice of one expert by sorting, as the paper writes it. */
function slowChoice(
  experts: Int32Array,
  affinities: Float32Array,
  expert: number,
  capacity: number,
  share: number,
) {
  const candidates = [...experts.keys()].filter((n) => experts[n] === expert);
  const ranked = candidates.toSorted((a, b) => affinities[b] - affinities[a] || a - b);
  const places = Math.min(capacity, candidates.length);
  const best = ranked.slice(0, Math.round(share * places));
  const rest = candidates.filter((n) => !best.includes(n)).slice(0, places - best.length);
  return { kept: [...best, ...rest].toSorted((a, b) => a - b), cut: ranked[places - 1] };
}

describe('expertChoice', () => {
  it.each([
    [0, 3],
    [1, 3],
    [0.5, 4],
    [1, 1],
    [1, Number.POSITIVE_INFINITY],
  ])('with share %f and capacity %f equals sorting, ties in the order of tokens', (share, capacity) => {
    for (let round = 0; round < 20; round++) {
      const experts = randomIntegers(`experts ${round}`, 60, 6).map((e) => e - 1);
      // Few different values, so that ties are common.
      const affinities = Float32Array.from(randomIntegers(`affinities ${round}`, 60, 4), (a) => a / 4);
      const positions = candidatesByExpert(experts, 5);
      const { keptN, cutE } = expertChoice(
        positions,
        affinities,
        risingAffinities(positions, affinities),
        new Float64Array(5).fill(capacity),
        share,
      );
      for (let expert = 0; expert < 5; expert++) {
        const slow = slowChoice(experts, affinities, expert, capacity, share);
        const kept = [...positions[expert]].filter((n) => keptN[n] === 1);
        expect(kept).toEqual(slow.kept);
        expect(cutE[expert]).toBe(slow.cut === undefined ? Number.NaN : affinities[slow.cut]);
      }
    }
  });
});

// ETR Theorem 5. An expert sees s tokens, one of which it needs; each other token beats that one with probability q.
describe('the odds that an expert gets the token it needs', () => {
  const s = 64;
  const rounds = 2000;

  /** Share of rounds in which the token at a random place is kept. */
  function odds(capacity: number, q: number, share: number, seed: string): number {
    const random = new CounterRandom(9, seed);
    let successes = 0;
    for (let round = 0; round < rounds; round++) {
      const draw = (i: number) => random.uniform(round * (s + 1) + i);
      const needed = Math.floor(draw(s) * s);
      const affinities = Float32Array.from({ length: s }, (_, i) => (i === needed ? 1 - q : draw(i)));
      const positions = [Int32Array.from({ length: s }, (_, i) => i)];
      successes += expertChoice(
        positions,
        affinities,
        risingAffinities(positions, affinities),
        Float64Array.of(capacity),
        share,
      ).keptN[needed];
    }
    return successes / rounds;
  }

  it.each([4, 32])('token choice: C sum(p) / s of n experts, C = %i', (capacity) => {
    // A token finds its expert with probability p, and then a place with probability C / s.
    const p = [0.9, 0.5, 0.2];
    const found = sum(p.map((each, i) => each * odds(capacity, 0.3, 0, `tcr ${i}`)));
    expect(Math.abs(found / ((capacity * sum(p)) / s) - 1)).toBeLessThan(0.15);
  });

  it.each([
    [0.5, 15],
    [0.25, 7],
  ])('expert choice hardly ever while C <= (s-1) q / 2: q = %f, C = %i', (q, capacity) => {
    expect(capacity).toBeLessThanOrEqual(((s - 1) * q) / 2);
    expect(odds(capacity, q, 1, `ecr ${q}`)).toBeLessThanOrEqual(Math.exp((-(s - 1) * q) / 8) + 0.01);
  });

  it.each([
    [0.05, 7],
    [0.4, 52],
  ])('expert choice almost surely once C >= 2 s q: q = %f, C = %i', (q, capacity) => {
    expect(capacity).toBeGreaterThanOrEqual(2 * s * q);
    expect(odds(capacity, q, 1, `ecr ${q}`)).toBeGreaterThanOrEqual(
      1 - Math.exp((-3 * capacity) / 16) - 0.01,
    );
  });

  it('so token choice wins early, while others often beat the token (q = 0.6), and expert choice late (q = 0.05)', () => {
    const capacity = 16;
    expect(odds(capacity, 0.6, 0, 'early')).toBeGreaterThan(odds(capacity, 0.6, 1, 'early') + 0.2);
    expect(odds(capacity, 0.05, 1, 'late')).toBeGreaterThan(odds(capacity, 0.05, 0, 'late') + 0.5);
  });
});
