import { expect, it } from 'vitest';
import type { StepReport } from '../../src/rpc/generated/messages.js';
import { RankSpeeds } from '../../src/run/rank-speeds.js';

const report = (rank: number, stepMs: number, waiting: number, more: Partial<StepReport> = {}) => ({
  rank,
  stepMs,
  cpuMs: 1,
  queuedMs: 0,
  partsMs: { waiting },
  ...more,
});

it("a rank's own time is without waiting and without the queue for a processor, and at least its CPU time", () => {
  const speeds = new RankSpeeds(2);
  expect(speeds.speeds).toEqual([]);
  speeds.add(report(0, 100, 70, { queuedMs: 10 }));
  speeds.add(report(1, 100, 60, { queuedMs: 50, cpuMs: 15 }));
  expect(speeds.last(5).map((times) => times.map(({ wallMs }) => wallMs))).toEqual([[20], [15]]);
});

it('steps count once all ranks have reported them, whoever is ahead', () => {
  const speeds = new RankSpeeds(2);
  for (const stepMs of [10, 20, 30]) speeds.add(report(0, stepMs, 0));
  expect(speeds.last(5)).toEqual([[], []]);
  speeds.add(report(1, 10, 9));
  speeds.add(report(1, 20, 19));
  expect(speeds.last(1).map(([{ wallMs }]) => wallMs)).toEqual([20, 1]);
});

it('over the last 200 steps: quantiles, and what it costs that a rank is slower than the next', () => {
  const speeds = new RankSpeeds(3);
  for (let step = 0; step < 300; step++) {
    const isSlow = step % 10 === 0;
    // All ranks take as long as the slowest, as the others wait.
    const stepMs = isSlow ? 90 : 40;
    speeds.add(report(0, stepMs, stepMs - 30));
    speeds.add(report(1, stepMs, stepMs - 40));
    speeds.add(report(2, stepMs, stepMs - (isSlow ? 90 : 20)));
  }
  const [first, second, third] = speeds.speeds;
  expect(first).toEqual({ rank: 0, p50Ms: 30, p99Ms: 30, lostShare: 0 });
  const totalMs = 20 * 90 + 180 * 40;
  expect(second).toMatchObject({ p50Ms: 40, lostShare: (180 * 10) / totalMs });
  expect(third).toEqual({ rank: 2, p50Ms: 20, p99Ms: 90, lostShare: (20 * 50) / totalMs });
});

it('a rank alone costs nobody anything', () => {
  const speeds = new RankSpeeds(1);
  speeds.add(report(0, 10, 0));
  expect(speeds.speeds).toEqual([{ rank: 0, p50Ms: 10, p99Ms: 10, lostShare: 0 }]);
});
