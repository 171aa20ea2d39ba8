import { describe, expect, it } from 'vitest';
import { type PlannedRuns, planText, secondsLeft } from '../../src/routers/run-plan.js';

const quality: PlannedRuns = {
  kind: 'quality',
  what: '305 steps, 5.0 million tokens, on 2x1',
  numKept: 2,
  numMissing: 10,
  tookS: [350, 370],
  guessS: null,
};
const time: PlannedRuns = {
  kind: 'time',
  what: '60 steps, 1.0 million tokens, on 2x2 and 4x1',
  numKept: 0,
  numMissing: 90,
  tookS: [],
  guessS: 120,
};

describe('secondsLeft', () => {
  it('is by what runs of a kind took, else by the guess', () => {
    expect(secondsLeft([quality])).toBe(10 * 360);
    expect(secondsLeft([time])).toBe(90 * 120);
    expect(secondsLeft([quality, time])).toBe(10 * 360 + 90 * 120);
    expect(secondsLeft([{ ...time, tookS: [100] }])).toBe(90 * 100);
  });

  it('is not by what runs took elsewhere', () => {
    expect(secondsLeft([{ ...time, numKept: 5 }])).toBe(90 * 120);
  });

  it('is not known while runs of a kind are not', () => {
    const unknown = { ...time, guessS: null };
    expect(secondsLeft([quality, unknown])).toBeNull();
    expect(secondsLeft([quality, { ...unknown, numMissing: 0 }])).toBe(10 * 360);
    expect(secondsLeft([])).toBe(0);
  });
});

describe('planText', () => {
  const cells = (plan: readonly PlannedRuns[]) =>
    planText(plan)
      .split('\n')
      .map((line) => line.trim().split(/ {2,}/));

  it('says how many runs there are, how long they took, and how long all will take', () => {
    const [first, , ...rows] = cells([quality, time]);
    expect(first).toEqual(['102 runs, 2 of them kept from before']);
    expect(rows).toEqual([
      ['quality', quality.what, '12', '2', '6m00s', '10', '6m00s', '1h00m'],
      ['time', time.what, '90', '0', '90', '2m00s', '3h00m'],
      ['total', '102', '2', '100', '4h00m'],
    ]);
  });

  it('does not invent a time', () => {
    const [, , row, total] = cells([{ ...time, guessS: null, numMissing: 3 }]);
    expect(row).toEqual(['time', time.what, '3', '0', '3', '?', '?']);
    expect(total.at(-1)).toBe('?');
  });
});
