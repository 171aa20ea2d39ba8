import { droppedShare, locality, reportMeasures } from '@locmoe/run-format';
import { describe, expect, it } from 'vitest';
import type { StepReport } from '../../src/rpc/generated/messages.js';
import { StepAggregator } from '../../src/run/step-aggregator.js';

const report = (step: number, rank: number): StepReport => ({
  step,
  rank,
  loss: 2 + rank,
  auxiliaryLoss: 0.1 * rank,
  gradientNorm: 0.5,
  learningRate: 0.01,
  tokens: 100,
  measures: {},
  stepMs: 10 * (rank + 1),
  partsMs: { forward: rank, backward: 0, exchange: 0, allReduce: 0, optimizer: 0, waiting: 0 },
  startMs: {},
  layers: [
    {
      layer: 1,
      rowBytes: 4,
      measures: reportMeasures([
        {
          routed: [rank, 3],
          kept: [rank, 2],
          overCapacity: [0, 1],
          notChosen: [0, 0],
          sameWorker: 1,
          sameNode: 2,
          otherNode: rank,
          capacity: [5, 10],
          gateCosine: [rank, 2],
        },
      ]),
    },
  ],
  bytesSameNode: 10,
  bytesOtherNode: rank,
  rowBytesTo: [0, 5 * rank, 0],
  allToAllMs: 2 * rank,
  allToAllWaitMs: rank,
  cpuMs: 5,
  queuedMs: 0,
  skipped: false,
});

describe('StepAggregator', () => {
  it('puts a step together once every rank has reported, in any order and interleaved with the next', () => {
    const aggregator = new StepAggregator(3, 3, 10);
    expect(aggregator.add(report(1, 2))).toBeNull();
    expect(aggregator.add(report(2, 2))).toBeNull();
    expect(aggregator.add(report(1, 0))).toBeNull();
    const step = aggregator.add(report(1, 1));
    expect(step).toMatchObject({
      step: 1,
      loss: 3,
      tokens: 300,
      stepMs: 30,
      partsMs: { forward: 1 },
      layers: [
        {
          layer: 1,
          routed: [3, 9],
          kept: [3, 6],
          overCapacity: [0, 3],
          notChosen: [0, 0],
          sameWorker: 3,
          sameNode: 6,
          otherNode: 3,
          bytes: { sameWorker: 24, sameNode: 48, otherNode: 24 },
          capacity: [5, 10],
          capacityRatio: 0.75,
          gateCosine: 0.5,
        },
      ],
      bytesSameNode: 30,
      bytesOtherNode: 3,
      allToAllMs: 2,
      allToAllWaitMs: 1,
    });
    expect(step!.links).toEqual({
      numNodes: 3,
      between: 'ranks',
      bytes: [
        [0, 0, 0],
        [0, 5, 0],
        [0, 10, 0],
      ],
    });
    expect(droppedShare(step!.layers)).toBeCloseTo(0.25, 12);
    expect(locality(step!.layers)).toEqual({ sameWorker: 0.25, sameNode: 0.5, otherNode: 0.25 });
    expect(aggregator.add(report(2, 0))).toBeNull();
    expect(aggregator.add(report(2, 1))?.step).toBe(2);
  });

  it('has no losses of a step that was skipped, which counts as one', () => {
    const aggregator = new StepAggregator(2, 1, 10);
    const skipped = (rank: number) => ({ ...report(1, rank), loss: 0, layers: [], skipped: true });
    aggregator.add(skipped(0));
    expect(aggregator.add(skipped(1))).toMatchObject({
      step: 1,
      loss: null,
      auxiliaryLoss: null,
      gradientNorm: null,
      tokens: 200,
      stepMs: 20,
      layers: [],
    });
    aggregator.add(report(2, 0));
    expect(aggregator.add(report(2, 1))).toMatchObject({ step: 2, loss: 2.5 });
  });

  it('has a number that is only recorded where a rank has it, combined as its schema says', () => {
    const aggregator = new StepAggregator(2, 1, 10);
    aggregator.add({ ...report(1, 0), measures: { answerTokens: 7 } });
    expect(aggregator.add({ ...report(1, 1), measures: { answerTokens: 5 } })).toMatchObject({
      answerTokens: 12,
    });
    aggregator.add(report(2, 0));
    expect(aggregator.add(report(2, 1))).not.toHaveProperty('answerTokens');
  });

  it('refuses a step out of turn, and a rank that runs away from the others', () => {
    const aggregator = new StepAggregator(2, 1, 10);
    aggregator.add(report(5, 0));
    for (const step of [5, 4, 7])
      expect(() => aggregator.add(report(step, 0))).toThrow(`step ${step} of rank 0 after step 5`);
    expect(() => {
      for (let step = 6; step < 20_000; step++) aggregator.add(report(step, 0));
    }).toThrow('step 10005 of rank 0');
  });

  it('has no locality without sparse layers', () => {
    expect(locality([])).toBeNull();
  });
});
