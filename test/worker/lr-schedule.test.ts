import { describe, expect, it, test } from 'vitest';
import { learningRateAt } from '../../src/worker/lr-schedule.js';

const NUM_STEPS = 110;
const PEAK = 2e-3;
const END = 2e-5;
const train = { warmupSteps: 10, decayShare: 0.2, learningRate: PEAK, endLearningRate: END };
const SCHEDULES = ['cosine', 'linear', 'constant', 'wsd'] as const;
type Schedule = (typeof SCHEDULES)[number];

function rateAt(step: number, schedule: Schedule, fields: Partial<typeof train> = {}): number {
  return learningRateAt(step, NUM_STEPS, { schedule, ...train, ...fields });
}

/** The rate at a share of the range from the end rate to the peak. */
function between(share: number): number {
  return END + share * (PEAK - END);
}

test.each(SCHEDULES)('%s: the warm-up is linear and reaches the peak at its last step', (schedule) => {
  for (let step = 1; step <= 10; step++) expect(rateAt(step, schedule)).toBeCloseTo((PEAK * step) / 10, 15);
});

describe('after the warm-up', () => {
  it('cosine: half a cosine down to the end rate', () => {
    // Quarter points of a cosine: (1 + cos(pi/4)) / 2, 1/2, (1 - cos(pi/4)) / 2.
    expect(rateAt(35, 'cosine')).toBeCloseTo(between((1 + Math.SQRT1_2) / 2), 15);
    expect(rateAt(60, 'cosine')).toBeCloseTo(between(0.5), 15);
    expect(rateAt(85, 'cosine')).toBeCloseTo(between((1 - Math.SQRT1_2) / 2), 15);
  });

  it('linear: a line down to the end rate', () => {
    expect(rateAt(35, 'linear')).toBeCloseTo(between(0.75), 15);
    expect(rateAt(109, 'linear')).toBeCloseTo(between(0.01), 15);
  });

  it('wsd: stable, then a line down to the end rate in the last fifth', () => {
    // Steps 88 to 110.
    for (let step = 10; step <= 88; step++) expect(rateAt(step, 'wsd')).toBe(PEAK);
    expect(rateAt(99, 'wsd')).toBeCloseTo(between(0.5), 15);
    expect(rateAt(109, 'wsd')).toBeCloseTo(between(1 / 22), 15);
    expect(rateAt(60, 'wsd', { decayShare: 1 })).toBe(rateAt(60, 'linear'));
    expect(rateAt(109, 'wsd', { decayShare: 1e-20 })).toBe(PEAK);
  });

  it('constant: stable to the end', () => {
    for (const step of [10, 60, 110, 500]) expect(rateAt(step, 'constant')).toBe(PEAK);
  });

  it.each(['cosine', 'linear', 'wsd'] as const)('%s ends at the end rate and stays there', (schedule) => {
    for (const step of [110, 111, 500]) expect(rateAt(step, schedule)).toBe(END);
  });
});

test.each(['cosine', 'linear', 'wsd'] as const)(
  '%s: no warm-up starts near the peak; a warm-up of all steps divides by nothing',
  (schedule) => {
    expect(rateAt(1, schedule, { warmupSteps: 0 }) / PEAK).toBeCloseTo(1, 1);
    expect(rateAt(109, schedule, { warmupSteps: 110 })).toBeCloseTo((PEAK * 109) / 110, 15);
    expect(rateAt(110, schedule, { warmupSteps: 110 })).toBe(END);
  },
);

describe('with a limit of time', () => {
  const timed = (step: number, schedule: Schedule, timeUsed: number) =>
    learningRateAt(step, NUM_STEPS, { schedule, ...train }, timeUsed);

  it.each(['cosine', 'linear', 'wsd'] as const)('%s comes down with the time that has passed', (schedule) => {
    // Few of the steps are done when the time is up.
    for (const share of [0.25, 0.5, 0.9])
      expect(timed(11, schedule, share)).toBe(rateAt(share * NUM_STEPS, schedule));
    expect(timed(20, schedule, 1)).toBe(END);
    expect(timed(20, schedule, 1.02)).toBe(END);
  });

  it.each(SCHEDULES)('%s goes by the steps where these are further, to the bit', (schedule) => {
    for (const step of [1, 9, 10, 60, 109, 110])
      expect(timed(step, schedule, (0.9 * step) / NUM_STEPS)).toBe(rateAt(step, schedule));
  });

  it('a warm-up that is long in time rises to where the schedule is by then', () => {
    expect(timed(5, 'linear', 0.55)).toBeCloseTo(rateAt(60.5, 'linear') / 2, 15);
    expect(timed(5, 'constant', 0.55)).toBe(rateAt(5, 'constant'));
  });
});
