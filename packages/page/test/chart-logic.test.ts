import { describe, expect, it } from 'vitest';
import type { ExpertsReply, RanksReply, RunDetail } from '../src/api-types.js';
import { bucketOf, overFair, stepsOf } from '../src/browser/overview/expert-load.js';
import { activitiesAt, laneRows } from '../src/browser/overview/lane-rows.js';
import { mergedExperts, mergedRanks } from '../src/browser/overview/merge-replies.js';
import { typicalRange } from '../src/browser/overview/outliers.js';
import { RunData } from '../src/browser/overview/run-data.js';
import {
  movingAverage,
  SMOOTHED_STEPS,
  sparseStyle,
  withSmoothing,
} from '../src/browser/overview/smoothing.js';
import { ticksOf, X_AXES } from '../src/browser/overview/x-axis.js';

const noiseOf = (row: number) => Math.abs(Math.sin(row * 12.9898) * 43758.5453) % 1;
const curve = (length: number, value: (row: number) => number) =>
  Array.from({ length }, (_, row) => value(row));

describe('the range of a chart', () => {
  it('is not set by the first step, which compiles', () => {
    const stepMs = curve(500, (row) => (row === 0 ? 4_000 : 250 + 100 * noiseOf(row)));
    const range = typicalRange(stepMs, true)!;
    expect(range.beyond).toEqual([0]);
    expect(range.high).toBeLessThan(351);
  });

  it('includes a steep descent, noise, and a spike as high as earlier values', () => {
    const loss = curve(1_000, (row) => 3 + 5 * Math.exp(-row / 30) + 0.2 * noiseOf(row));
    expect(typicalRange(loss, false)).toEqual({
      low: Math.min(...loss),
      high: Math.max(...loss),
      beyond: [],
    });
    const spiked = loss.with(654, 11);
    expect(typicalRange(spiked, false)!.high).toBe(11);
    const diverged = loss.with(654, 1e6);
    expect(typicalRange(diverged, false)).toMatchObject({ high: Math.max(...loss), beyond: [654] });
  });

  it('is that of all values where there are few, or all are the same', () => {
    expect(typicalRange([5, null, 9], false)).toEqual({ low: 5, high: 9, beyond: [] });
    expect(typicalRange([2, 2, 2], true)).toEqual({ low: 2, high: 2, beyond: [] });
    expect(typicalRange([null, undefined, Number.NaN], true)).toBeNull();
  });
});

describe('smoothing', () => {
  it('keeps what is constant, and does not lag behind a change', () => {
    const x = curve(100, (row) => row);
    for (const value of movingAverage(x, new Array(100).fill(7), 10)) expect(value).toBeCloseTo(7);
    const step = movingAverage(
      x,
      curve(100, (row) => (row < 50 ? 0 : 1)),
      5,
    );
    expect(step[49]! + step[50]!).toBeCloseTo(1);
    expect(step[54]).toBeCloseTo(1 - step[45]!);
    expect(step[99]).toBeGreaterThan(0.999);
  });

  it('is over as many steps of a long run as of the same run when it was shorter', () => {
    const loss = (length: number) => ({
      label: 'loss',
      color: '',
      x: curve(length, (row) => row),
      y: curve(length, (row) => 4 + 3 * Math.exp(-row / 300) + noiseOf(row)),
    });
    const at = (length: number) => withSmoothing([loss(length)], SMOOTHED_STEPS.medium)[1].y[1_500]!;
    expect(at(2_000)).toBeCloseTo(at(20_000), 3);
    expect(new RunData('run').widthOf('step', SMOOTHED_STEPS.medium)).toBe(100);
  });

  it('does not depend on how densely a line is drawn, and leaves gaps', () => {
    const dense = curve(1_001, (row) => row);
    const sparse = dense.filter((row) => row % 10 === 0);
    const at = (x: readonly number[]) =>
      movingAverage(
        x,
        x.map((value) => Math.sin(value / 200)),
        100,
      ).at(-1)!;
    expect(at(sparse)).toBeCloseTo(at(dense), 1);
    expect(movingAverage([1, 2, 3], [5, null, 9], 0)).toEqual([5, null, 9]);
    const [before, five, , six] = movingAverage([1, 2, 3, 4], [99, 5, 99, 6], 1e-9, new Set([0, 2]));
    expect([before, five, six]).toEqual([null, 5, 6]);
    const alone = movingAverage([1, 2, 3], [5, 99, 7], 10, new Set([1]));
    expect(alone[1]).toBeCloseTo(6);
  });

  it('is of lines alone: stacks and sparse series stay as recorded', () => {
    const line = { label: 'line', color: '', x: [1, 2, 3], y: [1, 2, 3] };
    const stay = [
      { ...line, isStacked: true },
      { ...line, isSparse: true },
    ];
    expect(withSmoothing(stay, 100)).toEqual(stay);
    expect(withSmoothing([line], 100).map(({ isQuiet }) => isQuiet)).toEqual([true, undefined]);
    expect(withSmoothing([line], 0)).toEqual([line]);
  });
});

/** Parses rows of numbers, separated by `;`. */
const rowsOf = (text: string) => text.split('; ').map((row) => row.split(' ').map(Number));

describe('answers in pieces', () => {
  const experts: ExpertsReply = {
    cursor: '0.4.3',
    layers: [1, 3],
    numExperts: 2,
    firstStep: 1,
    lastStep: 10,
    stepsPerBucket: 4,
    firstBucket: 0,
    most: rowsOf('1 1.2 1.4; 2 2 2'),
    mostRouted: rowsOf('1 1 1; 2 2 2'),
    dropped: rowsOf('0 0.1 0.2; 0 0 0'),
    openLayers: [3],
    kept: [rowsOf('5 5; 6 4; 1 0')],
    routed: [rowsOf('9 5; 8 4; 1 1')],
    links: { between: 'ranks', numNodes: 2, bytes: [[[0, 1]], null, [[0, 3]]] },
  };

  it('are put in place of the buckets that have changed', () => {
    const more = {
      ...experts,
      lastStep: 14,
      firstBucket: 2,
      most: rowsOf('1.5 1.6; 2 2'),
      mostRouted: rowsOf('1.7 1.8; 2 2'),
      dropped: rowsOf('0.3 0.4; 0 0'),
      kept: [rowsOf('7 3; 8 2')],
      routed: [rowsOf('9 3; 8 2')],
      links: { between: 'ranks' as const, numNodes: 2, bytes: [[[0, 4]], [[0, 5]]] },
    };
    const merged = mergedExperts(experts, more);
    expect(merged.most[0]).toEqual([1, 1.2, 1.5, 1.6]);
    expect(merged.kept[0]).toEqual(rowsOf('5 5; 6 4; 7 3; 8 2'));
    expect(merged.routed[0]).toEqual(rowsOf('9 5; 8 4; 9 3; 8 2'));
    expect([merged.mostRouted[0], merged.dropped[0]]).toEqual(rowsOf('1 1 1.7 1.8; 0 0.1 0.3 0.4'));
    expect(merged.links?.bytes).toEqual([[[0, 1]], null, [[0, 4]], [[0, 5]]]);
    expect(mergedExperts(experts, { ...more, firstBucket: 0 }).most[0]).toEqual([1.5, 1.6]);
    expect(stepsOf(merged, 3)).toEqual([13, 14]);
    expect([bucketOf(merged, 0), bucketOf(merged, 5), bucketOf(merged, 99)]).toEqual([0, 1, 3]);
    expect(overFair([3, 1])).toEqual([1.5, 0.5]);
    expect(overFair([0, 0])).toEqual([0, 0]);
  });

  it('lengthen the spans of the ranks, and add to them', () => {
    const span = (from: number, to: number) =>
      ({ from, to, activity: 'training', step: to, phase: '', operation: '' }) as const;
    const lane = { rank: 0, node: 0, lastProgress: 4, lastStep: 4 };
    const known: RanksReply = {
      cursor: '0.0.4',
      replaces: true,
      generations: [],
      ranks: [{ ...lane, spans: [span(0, 2), span(2, 4)] }],
    };
    const more = { ...known, replaces: false, ranks: [{ ...lane, spans: [span(2, 6), span(6, 8)] }] };
    expect(mergedRanks(known, more).ranks[0].spans).toEqual([span(0, 2), span(2, 6), span(6, 8)]);
    const none = { ...more, ranks: [{ ...lane, spans: [] }] };
    expect(mergedRanks(known, none).ranks[0].spans).toEqual(known.ranks[0].spans);
    expect(mergedRanks(known, { ...none, replaces: true }).ranks[0].spans).toEqual([]);
  });
});

describe('lanes', () => {
  const laneOf = (rank: number, activity: 'training' | 'stopped' = 'training') => ({
    rank,
    node: rank >> 3,
    lastProgress: 1_000,
    lastStep: rank === 9 ? 4 : 5,
    spans: [{ from: 0, to: 1_000, activity, step: 5, phase: 'forward', operation: '' }],
  });

  it('are of ranks or, with many, of nodes that open', () => {
    const run = new RunData('run');
    const few = laneRows(run, [laneOf(0), laneOf(8)], null);
    expect(few.map(({ label, detail }) => `${label} ${detail}`)).toEqual(['rank 0 node 0', 'rank 8 node 1']);
    const many = Array.from({ length: 32 }, (_, rank) => laneOf(rank));
    const nodes = laneRows(run, many, null);
    expect(nodes.map(({ label, isOpen }) => `${label} ${isOpen}`)).toEqual(
      [0, 1, 2, 3].map((node) => `node ${node} false`),
    );
    expect(nodes[1].note).toBe('steps 4 to 5');
    const open = laneRows(run, many, ['node1']);
    expect(open.length).toBe(12);
    expect(open[2]).toMatchObject({ label: 'rank 8', rank: 8 });
  });

  it('blame the rank of a failed run that stalled clearly before the others', () => {
    const run = new RunData('run');
    run.detail = { state: 'failed', isLive: false, failure: null } as RunDetail;
    const blamed = (stalledAt: number) => {
      const lanes = [laneOf(0), { ...laneOf(1), lastProgress: stalledAt }, laneOf(2)];
      return laneRows(run, lanes, null).filter(({ isBlamed }) => isBlamed);
    };
    expect(blamed(-1_000).map(({ label, note }) => `${label}: ${note}`)).toEqual([
      'rank 1: step 5 · stalled first',
    ]);
    expect(blamed(0)).toEqual([]);
  });

  it('tell what few ranks do first', () => {
    const lanes = [laneOf(0), laneOf(1, 'stopped'), laneOf(2)];
    expect(activitiesAt(lanes, 500)).toEqual([
      ['stopped', [1]],
      ['training', [0, 2]],
    ]);
    expect(activitiesAt(lanes, 2_000)).toEqual([]);
  });
});

describe('validation', () => {
  it('has marks where it is sparse, and is a thin line where marks would cover the loss', () => {
    expect(sparseStyle(20)).toMatchObject({ isSparse: true, hasPoints: true });
    expect(sparseStyle(1_000)).toEqual({ isSparse: true, width: 1 });
  });
});

describe('an axis', () => {
  it('has round ticks in what it counts', () => {
    expect(ticksOf(X_AXES.step, [1, 2_500], 6)).toEqual([500, 1_000, 1_500, 2_000, 2_500]);
    expect(ticksOf(X_AXES.tokens, [0, 5.12e6], 3).map(X_AXES.tokens.tick)).toEqual(['0', '2M', '4M']);
    expect([1.5e6, 1e7, 1e8].map(X_AXES.tokens.tick)).toEqual(['1.5M', '10M', '100M']);
    expect(ticksOf(X_AXES.time, [0, 7_200], 4).map(X_AXES.time.tick)).toEqual([
      '0',
      '30 m',
      '1 h',
      '1 h 30 m',
      '2 h',
    ]);
  });
});
