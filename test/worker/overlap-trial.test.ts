import { describe, expect, it, vi } from 'vitest';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { OverlapTrial } from '../../src/worker/exchange-trials.js';
import { tinyConfig } from '../model/support.js';

/** A trial of a configuration, with its log output and the degree that it set last. */
function trialOf(cluster: object = {}, model: object = { dModel: 32, dFeedForward: 64 }, moe: object = {}) {
  const tiny = tinyConfig();
  const config = {
    ...tiny,
    model: { ...tiny.model, ...model },
    moe: { ...tiny.moe, ...moe },
    cluster: { ...tiny.cluster, nodes: 2, overlapDegree: 'auto', deduplicate: false, ...cluster },
  } as ReturnType<typeof tinyConfig>;
  const info = vi.fn();
  const useOverlap = vi.fn();
  const transport = soloTransport();
  const assignment = { config, topology: transport.topology };
  return {
    trial: OverlapTrial.of({ useOverlap }, { assignment, transport, logger: { info } }),
    info,
    useOverlap,
  };
}

/**
 * Runs a trial in which the n-th step with a degree takes `msOf(degree, n)`; returns the degrees of the steps and the
 * choice.
 */
function tried(msOf: (degree: number, n: number) => number) {
  const { trial, info, useOverlap } = trialOf();
  const degrees: number[] = [];
  for (let isOver = false; !isOver; ) {
    trial!.beforeStep();
    const degree: number = useOverlap.mock.lastCall![0];
    degrees.push(degree);
    // The steps of the warm-up and the first step of each degree compile.
    const n = (degrees.length - 33) >> 1;
    isOver = trial!.afterStep(n < 0 ? 10_000 * degree : msOf(degree, n));
  }
  const [{ overlapDegree, ms }] = info.mock.lastCall!;
  expect(useOverlap).toHaveBeenLastCalledWith(overlapDegree);
  return { degrees, choice: { degree: overlapDegree, ms } };
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
    const open = (...fields: Parameters<typeof trialOf>) => trialOf(...fields).trial !== null;
    expect(open({})).toBe(true);
    expect(open({ nodes: 1 })).toBe(false);
    expect(open({ overlapDegree: 2 })).toBe(false);
    expect(open({ deduplicate: true })).toBe(false);
    expect(open({}, { dModel: 40, dFeedForward: 64 })).toBe(false);
    expect(open({}, { dModel: 32, dFeedForward: 72 })).toBe(false);
    expect(open({}, { dModel: 32, dFeedForward: 72 }, { dFeedForward: 16 })).toBe(true);
  });
});
