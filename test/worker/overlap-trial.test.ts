import { describe, expect, it } from 'vitest';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { OverlapTrial } from '../../src/worker/overlap-trial.js';
import { tinyConfig } from '../model/support.js';

/** Degrees of the steps, and what the trial chooses, where a step with a degree takes so many ms. */
function tried(msOfDegree: Readonly<Record<number, number>>) {
  const trial = new OverlapTrial(soloTransport());
  const degrees: number[] = [];
  for (;;) {
    const { degree } = trial;
    degrees.push(degree);
    // The process and the first of each degree compile.
    const choice = trial.record(degrees.length <= 32 ? 10_000 * degree : msOfDegree[degree]);
    if (choice !== null) return { degrees, choice };
  }
}

describe('OverlapTrial', () => {
  it('tries both in turns in a warm process and takes the faster, whatever the steps before took', () => {
    const { degrees, choice } = tried({ 1: 100, 2: 80 });
    expect(degrees).toEqual([...Array(30).fill(1), ...Array.from({ length: 20 }, (_, i) => 1 + (i % 2))]);
    expect(choice).toEqual({ degree: 2, ms: { inTurn: 100, overlapped: 80 } });
    expect(tried({ 1: 80, 2: 100 }).choice.degree).toBe(1);
  });

  it('does not overlap for a gain that is lost in the noise', () => {
    expect(tried({ 1: 100, 2: 98 }).choice.degree).toBe(1);
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
