import { expect, it } from 'vitest';
import { TimeEstimate } from '../../src/cli/time-estimate.js';

/** Lines printed during a run, given the duration of each step and a limit on the total time. */
function told(stepMsOf: (step: number) => number, numSteps = 1000, maxS = Infinity): string[] {
  const estimate = new TimeEstimate(false);
  let passedS = 0;
  return Array.from({ length: numSteps }, (_, i) => i + 1).flatMap((step) => {
    const stepMs = stepMsOf(step);
    passedS += stepMs / 1000;
    const secondsLeft = Math.min(((numSteps - step) * stepMs) / 1000, maxS - passedS);
    const line = estimate.line({ step, stepMs }, { steps: numSteps, secondsLeft });
    return line === null ? [] : [`step ${step}: ${line}`];
  });
}

it('is told once, within the first seconds, as a range', () => {
  expect(told((step) => (step <= 2 ? 5000 : 900 + 50 * (step % 5)))).toEqual([
    'step 7: time: about 15m43s to 19m59s for 993 more steps, by the first 5 (950 to 1050 ms a step), with validations and checkpoints',
  ]);
});

it('of short steps takes twenty of them', () => {
  expect(told(() => 10)).toEqual([
    expect.stringMatching(/^step 22: time: about 10s to 11s for 978 more steps/),
  ]);
});

it('is corrected where later steps take longer', () => {
  expect(told((step) => (step < 50 ? 1000 : 3000))).toEqual([
    expect.stringMatching(/^step 7: time: about 16m33s to 19m02s/),
    'step 100: time: about 45m00s from here on; the first steps were not like the later ones',
  ]);
});

it('knows the limit of train.maxHours', () => {
  expect(told(() => 1000, 100_000, 3600)[0]).toMatch(/^step 7: time: about 59m53s for /);
});

it('says nothing of a run that is over before there is anything to tell', () => {
  expect(told(() => 100, 10)).toEqual([]);
});
