import { expect, it } from 'vitest';
import { StragglerWatch } from '../../src/coordinator/straggler-watch.js';
import { createLogger } from '../../src/logger.js';
import { RankSpeeds } from '../../src/run/rank-speeds.js';

/** Runs steps of four ranks, of which rank 3 takes `ms(step)`; returns what was reported, by step. */
function watch(numSteps: number, ms: (step: number) => number, cpuMs: (step: number) => number = () => 20) {
  const speeds = new RankSpeeds(4);
  const said: { step: number; level: string; msg: string }[] = [];
  let step = 0;
  const logger = createLogger({
    level: 'info',
    origin: { run: 'r', generation: 1 },
    destination: { write: (line) => said.push({ step, ...JSON.parse(line) }) },
  });
  const watching = new StragglerWatch({
    speeds,
    workersPerNode: 2,
    hostOf: (node) => `host-${node}`,
    logger,
  });
  for (step = 1; step <= numSteps; step++) {
    for (const rank of [0, 1, 2, 3]) {
      const [stepMs, cpu] = rank === 3 ? [ms(step), cpuMs(step)] : [19 + rank, 20];
      speeds.add({ rank, stepMs, cpuMs: cpu, queuedMs: 0, partsMs: { waiting: 0 } });
    }
    watching.check(step);
  }
  return said.map((each) => [each.step, each.level, each.msg]);
}

it('a rank that is four times as slow is named once within 20 steps, and when it is well again', () => {
  const said = watch(200, (step) => (step > 50 && step <= 120 ? 80 : 20));
  expect(said).toEqual([
    [
      expect.any(Number),
      'warn',
      expect.stringMatching(
        /^rank 3 \(node 1, host-1\) takes 2\.\d times as long as the others: \d\d ms against 20 ms of its own in each of the last 20 steps; it computes for only 20 ms: it is stopped/,
      ),
    ],
    [
      expect.any(Number),
      'info',
      expect.stringMatching(
        /^rank 3 \(node 1, host-1\) is as fast as the others again: .* slow for \d+ steps$/,
      ),
    ],
  ]);
  const [[slow], [well]] = said;
  expect(slow).toBeGreaterThan(50);
  expect(slow).toBeLessThanOrEqual(70);
  expect(well).toBeGreaterThan(120);
  expect(well).toBeLessThanOrEqual(140);
});

it('a rank that is stopped for most of the time is named, though most of its steps are quick', () => {
  expect(watch(100, (step) => (step % 4 === 0 ? 700 : 20))[0][2]).toMatch(
    /^rank 3 .*it is stopped now and then/,
  );
});

it('a rank that has more to compute is told so', () => {
  expect(
    watch(
      60,
      () => 50,
      () => 48,
    )[0][2],
  ).toMatch(/it computes for 48 ms: its processor is slower, or its experts/);
});

it.each<[string, (step: number) => number]>([
  ['that is a little slower', () => 36],
  ['that pauses for long twice in 20 steps', (step) => (step % 10 === 0 ? 3_000 : 20)],
  ['that is slow in its first steps', (step) => (step <= 2 ? 5_000 : 20)],
])('nothing is said of a rank %s', (_what, ms) => expect(watch(300, ms)).toEqual([]));
