import { describe, expect, it } from 'vitest';
import {
  candidatesByExpert,
  expertChoice,
  risingAffinities,
} from '../../../src/routing/selection/best-candidates.js';
import { randomIntegers } from '../../model/support.js';

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
