import { describe, expect, it } from 'vitest';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { OverlapTrial } from '../../src/worker/overlap-trial.js';
import { tinyConfig } from '../model/support.js';

/** Degrees of the steps, and what the trial chooses, by the ms that the n-th step with a degree takes. */
function tried(msOf: (degree: number, n: number) => number) {
  const trial = new OverlapTrial(soloTransport());
  const degrees: number[] = [];
  for (;;) {
    const { degree } = trial;
    degrees.push(degree);
    // The process and the first of each degree compile.
    const n = (degrees.length - 33) >> 1;
    const choice = trial.record(n < 0 ? 10_000 * degree : msOf(degree, n));
    if (choice !== null) return { degrees, choice };
  }
}

describe('OverlapTrial', () => {
  it('tries both in turns in a warm process and takes the faster, whatever the steps before took', () => {
    const { degrees, choice } = tried((degree) => (degree === 2 ? 80 : 100));
    expect(degrees).toEqual([...Array(30).fill(1), ...Array.from({ length: 20 }, (_, i) => 1 + (i % 2))]);
    expect(choice).toEqual({ degree: 2, ms: { inTurn: 100, overlapped: 80 } });
    expect(tried((degree) => (degree === 2 ? 100 : 80)).choice.degree).toBe(1);
  });

  it('goes by the steps in the middle: few slow or fast ones, whenever they come, are those of the machine', () => {
    const slow = [0, 3, 4, 8];
    const overlap = tried((degree, n) => (degree === 2 ? (slow.includes(n) ? 900 : 80 + n / 10) : 100));
    expect(overlap.choice).toEqual({ degree: 2, ms: { inTurn: 100, overlapped: 80.7 } });
    const inTurn = tried((degree, n) => (degree === 2 ? (slow.includes(n) ? 1 : 98) : 100));
    expect(inTurn.choice).toEqual({ degree: 1, ms: { inTurn: 100, overlapped: 98 } });
  });

  it('does not overlap for a gain that is lost in the noise', () => {
    expect(tried((degree) => (degree === 2 ? 98 : 100)).choice.degree).toBe(1);
  });

  it('is held only where there is a choice that changes no bit', () => {
    const open = (cluster: object, model: object = { dModel: 32, dFeedForward: 64 }) => {
      const config = tinyConfig();
      return OverlapTrial.isOpen({
        ...config,
        model: { ...config.model, ...model },
        cluster: { ...config.cluster, nodes: 2, overlapDegree: 'auto', deduplicate: false, ...cluster },
      });
    };
    expect(open({})).toBe(true);
    expect(open({ nodes: 1 })).toBe(false);
    expect(open({ overlapDegree: 2 })).toBe(false);
    expect(open({ deduplicate: true })).toBe(false);
    expect(open({}, { dModel: 40, dFeedForward: 64 })).toBe(false);
    expect(open({}, { dModel: 32, dFeedForward: 72 })).toBe(false);
  });
});
