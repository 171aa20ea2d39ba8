import { describe, expect, it } from 'vitest';
import { countedSteps, summarize } from '../../src/step/step-run.js';
import { putTogether } from '../../src/step/torch-peer.js';
import { assertSameLosses } from '../../src/step/verify.js';

describe('summarize', () => {
  it('takes a step from its end to the next, without the first ones and the last', () => {
    const ends = [900, 1500, 2000, 2100, 2210, 2330, 5000];
    const parts = { forward: 40, backward: 30, exchange: 5, allReduce: 4, optimizer: 3, waiting: 8 };
    const steps = ends.map((endedAtMs) => ({ loss: 3, endedAtMs, partsMs: parts }));
    const run = summarize(steps, 550, { peakBytes: 7, gcMs: null, keptPerToken: null });
    expect(run.stepMs).toEqual([100, 110, 120]);
    expect(run.tokensPerS).toBeCloseTo(5000, 9);
    expect(run.partsMs).toEqual({ ...parts, other: 20 });
    expect(run.losses).toHaveLength(7);
  });

  it('has a time even of the shortest run', () => {
    expect(countedSteps(4)).toEqual({ from: 1, to: 3 });
    expect(countedSteps(5)).toEqual({ from: 2, to: 4 });
    expect(countedSteps(20)).toEqual({ from: 3, to: 19 });
  });
});

describe('putTogether', () => {
  it('takes the mean of the ranks, and the end of the last one', () => {
    const steps = putTogether([
      [{ loss: 2, endedAtMs: 100, partsMs: { forward: 10, exchange: 4 } }],
      [{ loss: 3, endedAtMs: 120, partsMs: { forward: 20 } }],
    ]);
    expect(steps).toEqual([
      {
        loss: 2.5,
        endedAtMs: 120,
        partsMs: { forward: 15, backward: 0, exchange: 2, allReduce: 0, optimizer: 0, waiting: 0 },
      },
    ]);
  });
});

describe('assertSameLosses', () => {
  const names = ['small', 'locmoe', 'PyTorch'] as const;

  it('tells how close they are', () => {
    expect(assertSameLosses(names, [8, 7.5], [8.0001, 7.5], 1e-3)).toBeCloseTo(1e-4, 9);
  });

  it('names the step at which they are not the same', () => {
    expect(() => assertSameLosses(names, [8, 7.5, 7], [8, 7.502, 6], 1e-3)).toThrow(
      'small: the losses differ at step 2, of locmoe 7.50000, of PyTorch 7.50200',
    );
    expect(() => assertSameLosses(names, [8], [Number.NaN], 1e-3)).toThrow('differ at step 1');
    expect(() => assertSameLosses(names, [8, 7], [8], 1e-3)).toThrow('locmoe did 2 steps, PyTorch 1');
  });
});
