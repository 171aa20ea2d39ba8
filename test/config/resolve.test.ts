import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { loadConfig, recipeNames, resolveConfig } from '../../src/config/resolve.js';
import { TrainerError } from '../../src/errors.js';

const TINY = readFileSync(new URL('../../configs/tiny.yaml', import.meta.url), 'utf8');

function problemsOf(text: string, overrides = {}): string[] {
  try {
    resolveConfig(text, 'run.yaml', overrides);
  } catch (error) {
    expect(error).toBeInstanceOf(TrainerError);
    expect((error as TrainerError).code).toBe('BAD_CONFIG');
    return (error as TrainerError).message.split('\n');
  }
  return [];
}

/** The 1-based line of the first line of the tiny recipe that holds `text`. */
function lineOf(text: string): number {
  return TINY.split('\n').findIndex((line) => line.includes(text)) + 1;
}

describe('recipes', () => {
  it.each(recipeNames())('%s resolves', (name) => {
    expect(loadConfig(name).name).toBe(name);
  });

  it('an unknown one is answered with those there are', () => {
    expect(() => loadConfig('tyni')).toThrow(/--config tyni: no such file, and no recipe.*tiny/);
  });
});

describe('bad configurations name the field and where it stands', () => {
  it.each([
    ['model.numHeads', 'numHeads: 4', 'numHeads: 3', 'not divisible'],
    ['moe.numExperts', 'numExperts: 8', 'numExperts: 6', 'cannot be spread evenly over 4 workers'],
    ['moe.expertGroups', 'expertGroups: 4', 'expertGroups: 3', 'equal groups'],
    ['moe.expertGroups', 'expertGroups: 4', 'expertGroups: 8', 'without a domain'],
    ['train.globalBatch', 'globalBatch: 32', 'globalBatch: 30', 'split evenly over 4 workers'],
    ['train.endLearningRate', 'endLearningRate: 0.0003', 'endLearningRate: 1', 'must not exceed'],
    ['cluster.workersPerNode', 'workersPerNode: 2', 'workersPerNode: 0', 'more than 0'],
    ['model.dModel', 'dModel: 128', 'dModel: wide', 'must be a number'],
    [
      'moe.numExperts',
      'numExperts: 8\n  router: locmoe-plus',
      'numExperts: 48\n  router: locmoe',
      'divide it',
    ],
    ['moe.router', 'router: locmoe-plus', 'router: [switch]', 'must be a string'],
  ])('%s', (field, from, to, why) => {
    const problems = problemsOf(TINY.replace(from, to));
    const [section, name] = field.split('.');
    const own = problems.find((problem) => problem.includes(` ${field}: `));
    expect(own, problems.join('\n')).toContain(why);
    expect(own).toMatch(new RegExp(`^run\\.yaml:${lineOf(`${name}:`)}:\\d+ ${section}`));
  });

  it.each([
    ['moe.affinityThreshold=0', 'moe.affinityThreshold', 'more than 0'],
    ['moe.affinityThreshold=1.5', 'moe.affinityThreshold', 'at most 1'],
    ['moe.selection=all', 'moe.selection', '"tcr"|"ecr"|"both"'],
    ['moe.localityFloor=1', 'moe.localityFloor', 'below 1'],
    ['cluster.overlapDegree=3', 'cluster.overlapDegree', '1|2|4|"auto"'],
    ['cluster.deduplicate=yes', 'cluster.deduplicate', 'must be a boolean'],
    ['data.placement=near', 'data.placement', '"mixed"|"domain"'],
  ])('--set %s', (set, field, why) => {
    const problems = problemsOf(TINY, { sets: ['moe.router=locmoe-plus', set] });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(`--set ${set}: ${field}: `);
    expect(problems[0]).toContain(why);
  });

  it('deduplication where experts have several owners', () => {
    const sets = ['cluster.deduplicate=true', 'moe.numExperts=2', 'moe.expertGroups=2'];
    expect(problemsOf(TINY, { sets })[0]).toMatch(/cluster\.deduplicate: .* 2 experts, 4 workers/);
  });

  it('locmoe-plus with settings that contradict each other', () => {
    const sets = ['moe.router=locmoe-plus', 'moe.selection=ecr', 'moe.capacityFactor=null'];
    expect(problemsOf(TINY, { sets })[0]).toMatch(/moe\.capacityFactor: null with selection ecr/);
    const scheduled = ['moe.router=locmoe-plus', 'moe.selection=tcr', 'moe.selectionSchedule=linear'];
    expect(problemsOf(TINY, { sets: scheduled })[0]).toMatch(/moe\.selectionSchedule: linear moves/);
  });

  it('an unknown key', () => {
    expect(problemsOf(TINY.replace('seqLen', 'seqLenght'))).toContainEqual(
      expect.stringMatching(/^run\.yaml:\d+:\d+ model\.seqLenght: unknown key$/),
    );
  });

  it('all problems at once', () => {
    expect(
      problemsOf(TINY.replace('dModel: 128', 'dModel: -1').replace('steps: 400', 'steps: many')),
    ).toHaveLength(2);
  });

  it('text that is not YAML', () => {
    expect(problemsOf('name: [tiny')[0]).toMatch(/^run\.yaml:\d+:\d+ /);
    for (const text of ['', '- a', 'tiny'])
      expect(problemsOf(text, { sets: ['seed=1'] })[0]).toMatch(/^run\.yaml:1:1 /);
    expect(problemsOf(TINY.replace('name: tiny', ''))[0]).toMatch(/name: is missing$/);
  });

  it('a key twice', () => {
    expect(problemsOf(`${TINY}\nseed: 2\n`)[0]).toMatch(/unique/i);
  });
});

describe('overrides', () => {
  it('set any field, with YAML values', () => {
    const config = resolveConfig(TINY, 'run.yaml', {
      sets: ['train.steps=300', 'moe.capacityFactor=null', 'data.domains=[en, zh, code, telecom]'],
      nodes: 1,
      workersPerNode: 4,
    });
    expect(config.train.steps).toBe(300);
    expect(config.moe.capacityFactor).toBeNull();
    expect(config.cluster).toMatchObject({ nodes: 1, workersPerNode: 4 });
  });

  it('are named when they are at fault', () => {
    expect(problemsOf(TINY, { sets: ['train.steps=-1'] })[0]).toMatch(
      /^--set train\.steps=-1: train\.steps: /,
    );
    expect(problemsOf(TINY, { workersPerNode: 0 })[0]).toMatch(
      /^--workers-per-node 0: cluster\.workersPerNode: /,
    );
    expect(problemsOf(TINY, { sets: ['train.stepz=1'] })[0]).toMatch(
      /^--set train\.stepz=1: train\.stepz: unknown key/,
    );
    expect(problemsOf(TINY, { sets: ['train..steps=4'] })[0]).toMatch(/^--set train\.\.steps=4: /);
    expect(problemsOf(TINY, { sets: ['steps'] })[0]).toMatch(/expected key=value/);
    expect(problemsOf(TINY, { sets: ['seed.deep=1'] })[0]).toMatch(/seed is a value/);
  });
});
