import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { designOf, readDesign } from '../../gates/design.js';
import { cellsOf, jobsOf } from '../../gates/jobs.js';
import { addRun, keyOf, readRuns } from '../../gates/runs.js';
import { temporaryFolder } from '../support.js';
import { cells, DESIGN, design, runsOf } from './support.js';

const EVERYTHING = { only: [], seeds: [] };
const names = (jobs: ReturnType<typeof jobsOf>) =>
  jobs.map(({ kind, arm, seed }) => `${kind} ${arm.id} ${seed}`);

describe('jobsOf', () => {
  it('makes quality before time, arms in turn, and the arm that begins rotates', () => {
    expect(names(jobsOf(cells, EVERYTHING))).toEqual([
      'quality dense 1',
      'quality switch 1',
      'quality hash 1',
      'quality switch 2',
      'quality hash 2',
      'quality dense 2',
      'quality hash 11',
      'quality own 11',
      'quality own 12',
      'quality hash 12',
      'time hash 11',
      'time own 11',
      'time own 12',
      'time hash 12',
    ]);
  });

  it('makes a run once that two questions ask for, though its arm has another name there', () => {
    const [first, last] = design.questions;
    const same = { ...design.questions[0]!.arms[1]!, id: 'again' };
    const twice = {
      ...design,
      questions: [first!, { ...first!, id: 'second', arms: [same], references: [same] }, last!],
    };
    const all = cellsOf(twice, []);
    expect(all.length).toBe(cells.length + 1);
    expect(names(jobsOf(all, EVERYTHING))).toEqual(names(jobsOf(cells, EVERYTHING)));
    // Other settings make another run.
    const other = { ...same, sets: [...same.sets, 'moe.capacityFactor=2'] };
    const changed = { ...first!, id: 'second', arms: [other], references: [other] };
    const cellsOfOther = cellsOf({ ...design, questions: [first!, changed, last!] }, []);
    expect(jobsOf(cellsOfOther, EVERYTHING)).toHaveLength(16);
  });

  it('makes the runs of a question with seeds of its own by these', () => {
    const [first] = design.questions;
    const own = cellsOf({ ...design, questions: [{ ...first!, seeds: [7] }], contrasts: [] }, []);
    expect(names(jobsOf(own, EVERYTHING))).toEqual(['quality dense 7', 'quality switch 7', 'quality hash 7']);
  });

  it('makes what is named, and refuses what there is not', () => {
    expect(names(jobsOf(cells, { only: ['last', 'own', 'quality'], seeds: [12] }))).toEqual([
      'quality own 12',
    ]);
    expect(jobsOf(cells, { only: ['screening'], seeds: [] })).toHaveLength(6);
    expect(() => jobsOf(cells, { only: ['swich'], seeds: [] })).toThrow(
      '--only swich: expected one of first, last, dense, switch, hash, own, screening, confirming, quality, time',
    );
    expect(() => jobsOf(cells, { only: [], seeds: [13] })).toThrow(
      '--seeds 13: expected some of 1, 2, 11, 12',
    );
  });
});

describe('a kept run', () => {
  it('is found by its settings and seed, wherever the folder of the design is', () => {
    const folder = temporaryFolder();
    for (const run of runsOf('last', 'own', 'quality', [3, 4])) addRun(folder, run);
    const elsewhere = path.join(folder, 'design');
    cpSync(DESIGN, elsewhere, { recursive: true });
    // The user's own router has moved as well, with the same bytes.
    const arms = path.join(elsewhere, 'arms.yaml');
    cpSync(
      fileURLToPath(new URL('../../../examples/my-router.mjs', import.meta.url)),
      path.join(elsewhere, 'my.mjs'),
    );
    writeFileSync(arms, readFileSync(arms, 'utf8').replace(/\.\/\S+my-router\.mjs/, './my.mjs'));
    const keptIn = (set: readonly string[]) => {
      const kept = readRuns(folder);
      const jobs = jobsOf(cellsOf(readDesign(elsewhere), set), { only: ['own', 'quality'], seeds: [] });
      return jobs.filter((job) => kept.has(keyOf(job))).map(({ seed }) => seed);
    };
    expect(keptIn([])).toEqual([11, 12]);
    // Setting a field to its default does not change the settings.
    expect(keptIn(['train.beta1=0.9'])).toEqual([11, 12]);
    expect(keptIn(['train.learningRate=0.02'])).toEqual([]);
    expect(() => keptIn(['moe.router=./gone.mjs'])).toThrow(/gone\.mjs/);
  });

  it('is the first of two lines, and a line that is none is named', () => {
    const folder = temporaryFolder();
    const [run] = runsOf('first', 'dense', 'quality', [3]);
    addRun(folder, run!);
    addRun(folder, { ...run!, seconds: 9 });
    expect([...readRuns(folder).values()]).toEqual([run]);
    writeFileSync(path.join(folder, 'gates-runs.jsonl'), `${JSON.stringify(run)}\nhalf a li`);
    expect(() => readRuns(folder)).toThrow(/gates-runs\.jsonl:2: no JSON; remove the line/);
    for (const line of ['null', '7', '{}', '{"kind":"quality","seed":3}']) {
      writeFileSync(path.join(folder, 'gates-runs.jsonl'), `${JSON.stringify(run)}\n${line}`);
      expect(() => readRuns(folder)).toThrow(/gates-runs\.jsonl:2: no run; remove the line/);
    }
  });
});

describe('designOf', () => {
  const arms = { a: { label: 'a', sets: [] }, b: { label: 'b', sets: [] } };
  const written = (reference: string, stage: 'screening' | 'confirming') => ({
    arms,
    questions: {
      seeds: { screening: [1], confirming: [2] },
      testShare: 0.1,
      testSequences: 1,
      time: [],
      questions: {
        q: { title: 'Q', stage, arms: ['a', 'b'], reference, measures: ['perplexity'] as const },
      },
    },
    contrasts: [{ arm: 'a', reference: 'b', measure: 'perplexity' as const, goal: { within: 0.01 } }],
  });

  it('says what it has that is not there', () => {
    expect(() => designOf(written('c', 'confirming'))).toThrow(
      'questions.yaml, q: arm c is not there: expected one of a, b',
    );
    expect(() => designOf(written('a', 'screening'))).toThrow(
      'contrasts.yaml: no question of the confirming stage has both a and b',
    );
  });

  it('has no question that is called as an arm is: --only would not know which is meant', () => {
    const called = written('b', 'confirming');
    const { q } = called.questions.questions;
    const questions = { ...called.questions, questions: { a: q } };
    expect(() => designOf({ ...called, questions })).toThrow('questions.yaml, a: an arm has this name too');
  });

  it('reads the design of the page', () => {
    const { questions, seeds } = readDesign(path.join(DESIGN, '../../../gates'));
    expect(questions.length).toBeGreaterThan(0);
    // Settings chosen by some seeds are confirmed by others.
    expect(seeds.screening.filter((seed) => seeds.confirming.includes(seed))).toEqual([]);
  });
});
