import { expect, it } from 'vitest';
import { figuresOf, isAtChance, measuresOf } from '../../fine-tuning/figures.js';
import { ABOUT, RESULTS } from './support.js';

const figures = measuresOf(RESULTS);
const of = (task: string, measure: string) =>
  figures.find((each) => each.task === task && each.measure === measure)!;

it('has each task by each of its measures', () => {
  expect(figures.map(({ task, measure }) => `${task} ${measure}`)).toEqual([
    ...['TeleQnA continuation', 'TeleQnA letter', 'TeleQnA likelihood'],
    ...['cloze continuation', 'cloze likelihood'],
  ]);
});

it('a question counts with its mean over the seeds', () => {
  const { n, chance, routers } = of('TeleQnA', 'continuation');
  expect([n, chance]).toEqual([4, 0.25]);
  const [baseline, plus] = routers;
  // Questions: 1, 0, 1/2, 0, and 1/2, 1, 1, 0.
  expect(baseline).toMatchObject({
    router: 'switch',
    seeds: [0.25, 0.5],
    againstBaseline: null,
    before: { value: 0.25 },
    after: { value: 0.375 },
  });
  expect(baseline!.after.stderr).toBeCloseTo(Math.sqrt(0.6875 / 3 / 4), 12);
  expect(plus!.after.value).toBe(0.625);
});

it('compares with the baseline by question, and over the seeds', () => {
  const { difference, interval, intervalOverSeeds } = of('TeleQnA', 'continuation').routers[1]!
    .againstBaseline!;
  expect(difference).toBe(0.25);
  expect(interval.low).toBeLessThan(0.25);
  expect(interval.high).toBeGreaterThan(0.25);
  // Differences 0.5 and 0 of the seeds: a standard error of 0.25 with one degree of freedom.
  expect(intervalOverSeeds!.low).toBeCloseTo(0.25 - 12.706204736 * 0.25, 6);
  expect(intervalOverSeeds!.high).toBeCloseTo(0.25 + 12.706204736 * 0.25, 6);

  const likelihood = of('TeleQnA', 'likelihood').routers[1]!.againstBaseline!;
  expect(likelihood.difference).toBeCloseTo(0.15, 12);
});

it('without the baseline nothing is compared, and a single seed has no interval over seeds', () => {
  const alone = measuresOf(RESULTS.filter(({ router }) => router === 'locmoe-plus'));
  expect(alone.flatMap(({ routers }) => routers.map((each) => each.againstBaseline))).toEqual(
    Array(5).fill(null),
  );
  const [one] = measuresOf(RESULTS.filter(({ seed }) => seed === 1));
  expect(one!.routers[1]!.againstBaseline).toMatchObject({ difference: 0.5, intervalOverSeeds: null });
});

it('at chance is what two standard errors reach', () => {
  expect(isAtChance({ value: 0.3, stderr: 0.03 }, 0.25)).toBe(true);
  expect(isAtChance({ value: 0.2, stderr: 0.02 }, 0.25)).toBe(false);
});

it('names the task that stands for the others, and says what the models are', () => {
  expect(figuresOf(RESULTS, ABOUT)).toMatchObject({
    headlineTask: 'TeleQnA',
    plusVsBaseline: { difference: 0.25 },
    seeds: [1, 2],
    base: { recipe: 'tiny', tokens: 4000, hours: 0.5 },
    tuning: { samples: 1, answerTokens: 900 },
    models: [{ router: 'switch', seed: 1, base: 5, tuned: 4.1 }, {}, {}, {}],
  });
  const withoutBaseline = RESULTS.filter(({ router }) => router === 'locmoe-plus');
  expect(figuresOf(withoutBaseline, ABOUT).plusVsBaseline).toBe(null);
});
