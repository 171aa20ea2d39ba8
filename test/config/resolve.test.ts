import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { loadConfig, recipeNames, resolveConfig } from '../../src/config/resolve.js';
import { TrainerError } from '../../src/errors.js';
import { ROUTER_NAMES } from '../../src/routing/index.js';

const PANGU = readFileSync(new URL('../../configs/pangu.yaml', import.meta.url), 'utf8');

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

function escaped(text: string): string {
  return text.replace(/[?.]/g, '\\$&');
}

/** The 1-based line of the first line of the recipe that holds `text`. */
function lineOf(text: string): number {
  return PANGU.split('\n').findIndex((line) => line.includes(text)) + 1;
}

describe('recipes', () => {
  it.each(recipeNames())('%s resolves', (name) => {
    expect(loadConfig(name).name).toBe(name);
  });

  it('an unknown one is answered with those there are', () => {
    expect(() => loadConfig('tyni')).toThrow(
      /--config tyni: no such file, and no recipe.*; did you mean tiny\?$/,
    );
  });
});

it.each([
  ['pangu', 'model.numKeyValueHeads=2', 'model.numKeyValueHeads: is for model.family llama alone'],
  [
    'pangu',
    'model.ropeScaling={type: linear, factor: 2}',
    'model.ropeScaling: is for model.family llama alone',
  ],
  ['pangu', 'moe.renormalize=false', 'moe.renormalize: is for model.family llama alone'],
  ['pangu', 'model.family=lama', 'must be one of pangu-sigma, llama; did you mean llama?'],
  ['mixtral-tiny', 'model.queryLayer=true', 'model.queryLayer: is for model.family pangu-sigma alone'],
  [
    'mixtral-tiny',
    'model.ropeScaling={type: yarn}',
    'model.ropeScaling.type: must have the type linear or llama3',
  ],
  ['mixtral-tiny', 'model.ropeScaling={type: linear}', 'model.ropeScaling.factor: is missing'],
  [
    'mixtral-tiny',
    'model.ropeScaling={type: llama3, factor: 8, lowFreqFactor: 4, highFreqFactor: 4, originalSeqLen: 9}',
    'model.ropeScaling.highFreqFactor: must be more than lowFreqFactor',
  ],
  ['mixtral-tiny', 'model.headDim=7', 'model.headDim: heads of 7 coordinates cannot be rotated in pairs'],
  ['mixtral-tiny', 'model.numKeyValueHeads=3', 'is not divisible by numKeyValueHeads 3'],
  ['mixtral-tiny', 'moe.sharedExpertGate=true', 'moe.sharedExpertGate: is the gate of shared experts, and'],
  ['mixtral-tiny', 'model.numDenseLayers=10001', 'model.numDenseLayers: must be at most 10000'],
])('%s is refused with a field of another family or a bad one: %s', (recipe, set, why) => {
  expect(() => loadConfig(recipe, { sets: ['moe.router=switch', set] })).toThrow(why);
});

it('reads the models of checkpoints of version 0.1, which have the fields of both families', () => {
  const unset = ['numKeyValueHeads', 'headDim', 'ropeTheta', 'ropeScaling', 'qkNorm', 'normEpsilon'];
  const nulls = unset.map((field) => `model.${field}=null`);
  const { model } = loadConfig('mixtral-tiny', {
    sets: ['model.family=mixtral', 'model.queryLayer=false', ...nulls],
  });
  expect(model).toEqual({ ...loadConfig('mixtral-tiny').model, numKeyValueHeads: 4, headDim: 32 });
  expect(loadConfig('pangu', { sets: nulls })).toEqual(loadConfig('pangu'));
});

describe('bad configurations name the field and where it stands', () => {
  it.each([
    ['model.numHeads', 'numHeads: 4', 'numHeads: 3', 'not divisible'],
    ['moe.expertGroups', 'expertGroups: 4', 'expertGroups: 8', 'without a domain'],
    ['train.globalBatch', 'globalBatch: 32', 'globalBatch: 30', 'split evenly over 4 workers'],
    ['train.endLearningRate', 'endLearningRate: 0.0003', 'endLearningRate: 1', 'must not exceed'],
    ['cluster.workersPerNode', 'workersPerNode: 2', 'workersPerNode: 0', 'more than 0'],
    ['model.dModel', 'dModel: 128', 'dModel: wide', 'must be a number'],
    ['moe.router', 'router: hash', 'router: best', `must be one of ${ROUTER_NAMES.join(', ')}`],
    ['train.steps', 'steps: 400', 'steps: 1.5', 'must be an integer'],
    ['train.learningRate', 'learningRate: 0.003', 'learningRate: .inf', 'must be a finite number'],
    ['data.domains', 'domains: [en, zh, code, telecom]', 'domains: en', 'must be a list'],
    ['data.domains', 'domains: [en, zh, code, telecom]', 'domains: []', 'must not be empty'],
  ])('%s', (field, from, to, why) => {
    const problems = problemsOf(PANGU.replace(from, to));
    const [section, name] = field.split('.');
    const own = problems.find((problem) => problem.includes(` ${field}: `));
    expect(own, problems.join('\n')).toContain(why);
    expect(own).toMatch(new RegExp(`^run\\.yaml:${lineOf(`${name}:`)}:\\d+ ${section}`));
  });

  // Each is the only problem.
  it.each([
    ['moe.routerOptions.span=3', 'only a router by file has options'],
    ['moe.numExperts=48 moe.router=locmoe', 'divide it'],
    ['moe.affinityThreshold=0', 'more than 0'],
    ['moe.affinityThreshold=1.5', 'at most 1'],
    ['moe.selection=all', 'one of tcr, ecr, both'],
    ['train.precision=bfloat16 train.device=webgpu', 'bfloat16 beside train.device webgpu'],
    [
      'train.device=auto model.dModel=1024 model.numHeads=4',
      'heads of at most 128 coordinates, and these have 256',
    ],
    ['moe.localityFloor=1', 'below 1'],
    ['cluster.overlapDegree=3', 'one of 1, 2, 4, auto'],
    ['cluster.deduplicate=yes', 'must be true or false'],
    ['train.microBatches=3', 'the 8 sequences of a worker cannot be split evenly into 3'],
    ['train.maxTokens=2047', 'one step alone takes 2048 tokens'],
    ['moe.sharedExperts=9', '9 shared experts beside 8 routed ones (moe.numExperts); at most as many'],
    ['moe.sharedExperts=-1', 'must be at least 0'],
    ['moe.dFeedForward=0', 'must be more than 0'],
    [
      'moe.expertsPerToken=3 moe.router=switch',
      '3, but a domain has 2 experts: numExperts over expertGroups',
    ],
    [
      'moe.expertsPerToken=3 moe.router=deepseek',
      '3, but a domain has 2 experts: numExperts over expertGroups',
    ],
    [
      'moe.deviceGroups=4 moe.router=moge',
      '4 does not divide the experts of a domain: 2, numExperts over expertGroups',
    ],
    [
      'moe.choicesPerDeviceGroup=2 moe.router=moge',
      '2, but a device group has 1 of the 2 experts of a domain',
    ],
    [
      'moe.tableAfter=9 moe.router=switch moe.expertsPerToken=2',
      'is for one expert a token: set expertsPerToken 1, or tableAfter 0',
    ],
    [
      'moe.maxDeviceGroups=1 moe.router=deepseek moe.expertsPerToken=2',
      '1 of 1 experts each have fewer than',
    ],
    ['moe.deviceGroups=3 moe.router=deepseek moe.maxDeviceGroups=1', '3 does not divide'],
    ['moe.maxDeviceGroups=2 moe.router=deepseek', '2 does not divide expertsPerToken 1, of which'],
    ['moe.maxDeviceGroups=3 moe.router=deepseek moe.deviceGroups=2', '3, but there are 2 deviceGroups'],
    ['moe.capacityFactor=null moe.router=expert-choice', 'null with router expert-choice would send'],
    ['moe.capacityFactor=null moe.choiceWeights=softmax moe.selection=ecr', 'null with selection ecr'],
    ['moe.selectionSchedule=linear moe.choiceWeights=softmax moe.selection=tcr', 'linear moves'],
    ['moe.ranking=random moe.choiceWeights=softmax moe.selection=tcr', 'random is for experts that choose'],
    ['moe.choiceWeights=margin moe.ranking=random', 'margin is above the threshold'],
    ['cluster.deduplicate=true moe.numExperts=2 moe.expertGroups=2', '2 experts, 4 workers'],
    ['cluster.collectiveTimeoutS=0.3', '0.3 s is too short: the report of a stuck worker'],
    ['train.steps.more=1', 'train.steps is a value, not a section'],
    ['data.domains=[/texts/mine.txt] moe.expertGroups=1', 'your own are a domain with a name: [docs: '],
  ])('--set %s', (sets, why) => {
    const [set = ''] = sets.split(/ (?=\w+\.)/);
    const problems = problemsOf(PANGU, { sets: ['moe.router=locmoe-plus', ...sets.split(/ (?=\w+\.)/)] });
    const [field = ''] = set.split('=');
    const own = problems.filter((problem) => problem.startsWith(`--set ${set}: `));
    expect(own, problems.join('\n')).toHaveLength(1);
    expect(own[0]).toContain(why);
    expect(own[0]).toContain(field.split('.')[0]);
  });

  it.each([
    ['moe.router=expert-choice', 'moe.capacityFactor=null', 'moe.candidatesPerToken=1'],
    ['moe.router=moge'],
    ['moe.router=switch', 'moe.tableAfter=9'],
    ['moe.router=deepseek', 'moe.maxDeviceGroups=1'],
    ['cluster.collectiveTimeoutS=0.5'],
  ])('%s is fine', (...sets) => {
    expect(problemsOf(PANGU, { sets })).toEqual([]);
  });

  it('sizes that do not fit a layout suggest numbers that do', () => {
    const sets = ['moe.router=locmoe'];
    const layout = { nodes: 3, workersPerNode: 2 };
    for (const [problem, remedy] of [
      [/moe\.numExperts: 8 experts cannot be spread evenly over 6 workers .*: 12 can$/, 'moe.numExperts=12'],
      [/train\.globalBatch: 32 sequences .* over 6 workers; 30 or 36 can$/, 'train.globalBatch=36'],
      [/moe\.numExperts: .* model\.dModel 120 or 132 would do$/, 'model.dModel=132'],
    ] as const) {
      expect(problemsOf(PANGU, { sets, ...layout })).toContainEqual(expect.stringMatching(problem));
      sets.push(remedy);
    }
    expect(problemsOf(PANGU, { sets, ...layout })).toEqual([]);
  });

  it('an unknown key', () => {
    expect(problemsOf(PANGU.replace('seqLen', 'seqLenght'))).toContainEqual(
      expect.stringMatching(/^run\.yaml:\d+:\d+ model\.seqLenght: unknown key; did you mean seqLen\?$/),
    );
  });

  it.each([
    ['moe.ruoter=switch', 'moe.ruoter: unknown key; did you mean router?'],
    ['train.numExperts=8', 'train.numExperts: unknown key; did you mean moe.numExperts?'],
    ['moe.router=swich', 'did you mean switch?'],
    ['cluster.exchange=hierachical', 'did you mean hierarchical?'],
    ['data.domains=[telcom]', 'did you mean telecom?'],
    ['model.depth=3', 'model.depth: unknown key'],
  ])('a slip of the finger, %s, by what was meant', (set, answer) => {
    expect(problemsOf(PANGU, { sets: [set] })).toContainEqual(
      expect.stringMatching(new RegExp(`${escaped(answer)}$`)),
    );
  });

  it('all problems at once, of fields alone and of fields together', () => {
    const text = PANGU.replace('steps: 400', 'steps: many')
      .replace('expertGroups: 4', 'expertGroups: 3')
      .replace('router: hash', 'router: best')
      .replace('code, telecom', 'code, klingon');
    const fields = problemsOf(text).map((problem) => /^run\.yaml:\d+:\d+ ([\w.]+): /.exec(problem)?.[1]);
    expect(fields.sort()).toEqual(['data.domains', 'moe.expertGroups', 'moe.router', 'train.steps']);
  });

  it('a field with a mistake of its own only once', () => {
    expect(problemsOf(PANGU.replace('dModel: 128', 'dModel: -1'))).toEqual([
      `run.yaml:${lineOf('dModel:')}:11 model.dModel: must be more than 0`,
    ]);
  });

  it('a link over which no collective can meet its deadline', () => {
    const link = (gbps: number, latencyMs: number) => ({
      sets: [`cluster.interNodeLink={gbps: ${gbps}, latencyMs: ${latencyMs}}`],
    });
    expect(problemsOf(PANGU, link(1e-9, 0))[0]).toMatch(
      /cluster\.interNodeLink: .*512 bytes\) would take 4100 s.* after 10 s \(cluster\.collectiveTimeoutS\)/,
    );
    expect(problemsOf(PANGU, link(1, 8e7))[0]).toMatch(/cluster\.interNodeLink: .* would take 80000 s/);
    expect(problemsOf(PANGU, link(1e-3, 200))).toEqual([]);
    expect(problemsOf(PANGU, { ...link(1e-9, 0), nodes: 1 })).toEqual([]);
  });

  it('fields may be set below a null', () => {
    const sets = ['cluster.interNodeLink.gbps=1', 'cluster.interNodeLink.latencyMs=0'];
    // A checkpoint writes null for what is not set.
    const text = JSON.stringify(resolveConfig(PANGU, 'run.yaml'));
    expect(text).toContain('"interNodeLink":null');
    const { interNodeLink } = resolveConfig(text, 'run.yaml', { sets }).cluster;
    expect(interNodeLink).toEqual({ gbps: 1, latencyMs: 0 });
  });

  it('of many problems, only the first twenty', () => {
    const keys = Array.from({ length: 500 }, (_, i) => `  more${i}: 1`).join('\n');
    const problems = problemsOf(PANGU.replace('train:\n', `train:\n${keys}\n`));
    expect(problems).toHaveLength(21);
    expect(problems[20]).toBe('and 480 more problems');
  });

  it('text that is not YAML', () => {
    expect(problemsOf('name: [tiny')[0]).toMatch(/^run\.yaml:\d+:\d+ /);
    for (const text of ['', '- a', 'tiny'])
      expect(problemsOf(text, { sets: ['seed=1'] })[0]).toMatch(/^run\.yaml:1:1 /);
    expect(problemsOf(PANGU.replace('name: pangu', ''))[0]).toMatch(/name: is missing$/);
  });

  it.each([
    ['an alias without an anchor', 'model: *x\n', /^run\.yaml:1:8 \*x: no anchor of this name/],
    ['an alias before its anchor', 'a: *x\nb: &x 1\n', /^run\.yaml:1:4 \*x: no anchor/],
    ['too many aliases', `a: &x 1\nb: [${'*x, '.repeat(101)}]\n`, /^run\.yaml:2:405 more than 100 aliases$/],
    ['a value that holds itself', 'name: &x { y: *x }\n', /^run\.yaml:1:10 name: must be a string$/],
    ['two documents', 'name: a\n---\nname: b\n', /^run\.yaml:2:1 a second document begins here/],
    ['deep nesting', `name: ${'['.repeat(20_000)}`, /^run\.yaml:1:\d+ is nested too deeply$/],
    [
      'a key that would break the line',
      '"a\\nb\\e[2J": 1\n',
      /^run\.yaml:1:\d+ a\\u\{a\}b\\u\{1b\}\[2J: unknown key$/,
    ],
    [
      'a file that is something else',
      'x'.repeat(2_000_000),
      /^run\.yaml:1:1 2000000 characters are too many/,
    ],
  ])('%s', (_, text, pattern) => {
    expect(problemsOf(text)).toContainEqual(expect.stringMatching(pattern));
  });

  it('aliases that would multiply without end', () => {
    const levels = Array.from({ length: 12 }, (_, i) => `x${i}: &x${i} [${`*x${i - 1}, `.repeat(8)}]`);
    const bomb = ['x0: &x0 [lol]', ...levels.slice(1), 'name: *x11'].join('\n');
    expect(problemsOf(bomb)).toContain('run.yaml:13:7 name: must be a string');
  });

  it('a key twice', () => {
    expect(problemsOf(`${PANGU}\nseed: 2\n`)[0]).toMatch(/^run\.yaml:\d+:1 seed: is there twice$/);
  });
});

describe('overrides', () => {
  it('set any field, with YAML values', () => {
    const config = resolveConfig(PANGU, 'run.yaml', {
      sets: [
        'train.steps=300',
        'moe.router=hash',
        'moe.capacityFactor=null',
        'data.domains=[en, zh, code, telecom]',
      ],
      nodes: 1,
      workersPerNode: 4,
    });
    expect(config.train.steps).toBe(300);
    expect(config.moe.capacityFactor).toBeNull();
    expect(config.cluster).toMatchObject({ nodes: 1, workersPerNode: 4 });
  });

  it('set an entry of a list', () => {
    const text = PANGU.replace('domains:', 'weights: &w [1, 1, 1, 1]\n  domains:');
    expect(resolveConfig(text, 'run.yaml', { sets: ['data.weights.1=2'] }).data.weights).toEqual([
      1, 2, 1, 1,
    ]);
    for (const position of ['9', 'length', '-1'])
      expect(problemsOf(text, { sets: [`data.weights.${position}=2`] })[0]).toMatch(
        /^--set data\.weights\.\S+: data\.weights is a list, and \S+ no position in it$/,
      );
  });

  it('are named when they are at fault', () => {
    expect(problemsOf(PANGU, { workersPerNode: 0 })[0]).toMatch(
      /^--workers-per-node 0: cluster\.workersPerNode: /,
    );
    expect(problemsOf(PANGU, { sets: ['train.stepz=1'] })[0]).toMatch(
      /^--set train\.stepz=1: train\.stepz: unknown key/,
    );
    expect(problemsOf(PANGU, { sets: ['train..steps=4'] })[0]).toMatch(/^--set train\.\.steps=4: /);
    expect(problemsOf(PANGU, { sets: ['steps'] })[0]).toMatch(/expected key=value/);
  });
});
