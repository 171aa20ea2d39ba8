import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { loadConfig, recipeNames } from '../../../src/config/resolve.js';
import {
  assertAnyMachineCanHold,
  assertMachineCanHold,
  longWarmUp,
  slowLink,
  thisMachine,
  unusedTopK,
} from '../../../src/coordinator/planning/limits.js';

/** The README promises that this is enough for every recipe. */
const LAPTOP = { cores: 2, memoryBytes: 4e9, freeBytes: 3e9, freeSharedBytes: 2e9 };

function refusal(check: () => void): string {
  expect(check).toThrow(expect.objectContaining({ code: 'BAD_CONFIG' }));
  try {
    check();
  } catch (error) {
    return (error as Error).message;
  }
  return '';
}

describe('a run on this machine', () => {
  it.each(recipeNames())('the recipe %s is small enough for a laptop, without a warning', (recipe) => {
    const warnings: string[] = [];
    assertMachineCanHold(loadConfig(recipe), LAPTOP, (line) => warnings.push(line));
    expect(warnings).toEqual([]);
  });

  it.each([
    [
      'moe.numExperts=1000000',
      /^moe\.numExperts, .*: a rank would hold 65,\d+,\d+,\d+ parameters .*; 4 ranks on this machine would need [45],\d+ GB, and it has 4\.0 GB$/,
    ],
    [
      'train.globalBatch=1000000',
      /^train\.globalBatch, .* the activations of 250,000 sequences, at least \d+ GB/,
    ],
    ['model.numDenseLayers=10000', /^(model|train)\.\w+, .*model\.numDenseLayers/],
    ['model.dModel=2147483644', /\d\.\d\de\+\d+ parameters/],
    ['model.vocabSize=2000000000', /model\.vocabSize/],
    ['model.seqLen=1000000000', /model\.seqLen/],
  ])('%s is refused', (set, pattern) => {
    const config = loadConfig('pangu', { sets: ['moe.router=hash', set] });
    expect(refusal(() => assertMachineCanHold(config, LAPTOP, () => undefined))).toMatch(pattern);
  });

  it('experts in a file need the memory of their budget', () => {
    const sets = ['moe.router=hash', 'moe.numExperts=1000000', 'train.expertUpdate=touched'];
    const file = [...sets, 'moe.expertStorage.kind=file', 'moe.expertStorage.budgetMB=100'];
    assertMachineCanHold(loadConfig('tiny', { sets: file }), LAPTOP, () => undefined);
    expect(
      refusal(() => assertMachineCanHold(loadConfig('tiny', { sets }), LAPTOP, () => undefined)),
    ).toMatch(/moe\.numExperts/);
  });

  it('more processes than cores can serve are refused', () => {
    const config = loadConfig('tiny', {
      sets: ['train.globalBatch=5000', 'moe.numExperts=5000', 'moe.router=hash'],
      nodes: 5000,
      workersPerNode: 1,
    });
    expect(refusal(() => assertMachineCanHold(config, LAPTOP, () => undefined))).toMatch(
      /5000 nodes x 1 workers are 15000 processes with agents and spares/,
    );
  });

  it('rings that do not fit /dev/shm are refused', () => {
    const config = loadConfig('tiny', { sets: ['cluster.ringBytes=1073741824', 'moe.router=hash'] });
    const roomy = { ...LAPTOP, memoryBytes: 1e12 };
    expect(() => assertMachineCanHold(config, roomy, () => undefined)).toThrow(
      expect.objectContaining({
        code: 'NO_RESOURCE',
        message: expect.stringMatching(/needs \d+ bytes in \/dev\/shm, but 2000000000 bytes are free: lower/),
      }),
    );
  });

  it('one that fits only an idle machine is warned of', () => {
    const warnings: string[] = [];
    const busy = { ...LAPTOP, freeBytes: 1e6 };
    assertMachineCanHold(loadConfig('tiny'), busy, (line) => warnings.push(line));
    expect(warnings).toEqual([expect.stringMatching(/would need 0\.\d+ GB, and 0\.0010 GB are free/)]);
  });

  it('a Slurm job has the memory that it asked for', () => {
    vi.stubEnv('SLURM_MEM_PER_NODE', '100');
    onTestFinished(() => void vi.unstubAllEnvs());
    expect(thisMachine().memoryBytes).toBe(100 * 2 ** 20);
  });

  it('counts only the nodes that are on the machine', () => {
    const config = loadConfig('small', { sets: [], nodes: 16, workersPerNode: 2 });
    const old = { ...LAPTOP, cores: 1 };
    expect(() => assertMachineCanHold(config, old, () => undefined, 1)).not.toThrow();
    expect(refusal(() => assertMachineCanHold(config, old, () => undefined))).toMatch(/are 64 processes/);
  });
});

describe('a run on other machines', () => {
  it('is refused only if none could hold it', () => {
    const large = loadConfig('small', { sets: ['model.dModel=8192', 'model.dFeedForward=32768'] });
    assertAnyMachineCanHold(large);
    const absurd = loadConfig('small', { sets: ['model.dModel=1048576'] });
    expect(refusal(() => assertAnyMachineCanHold(absurd))).toMatch(
      /more than 1,000 GB a rank is beyond any machine$/,
    );
  });
});

const linkOf = (gbps: number, latencyMs: number, nodes = 2) =>
  slowLink(
    loadConfig('tiny', { nodes, sets: [`cluster.interNodeLink={gbps: ${gbps}, latencyMs: ${latencyMs}}`] })
      .cluster,
  );

it('says what a link lets pass before a collective fails, if that is less than a frame', () => {
  expect(linkOf(1e-6, 2000)).toBe(
    'cluster.interNodeLink carries only 1,000 bytes in cluster.collectiveTimeoutS (10 s), so collectives would time out: raise either',
  );
  expect(linkOf(1e-3, 0)).toBeNull();
  expect(linkOf(1e-6, 0, 1)).toBeNull();
});

it('says that a router has no use for several experts a token', () => {
  const warning = (router: string, K: number) =>
    unusedTopK(
      loadConfig('tiny', {
        sets: [`moe.router=${router}`, `moe.expertsPerToken=${K}`, 'moe.expertGroups=1'],
      }),
    );
  expect(warning('moge', 2)).toBe(
    'moe.expertsPerToken 2 changes nothing: router moge does not have this field',
  );
  expect(warning('expert-choice', 2)).toMatch(/router expert-choice does not have/);
  expect(warning('deepseek', 2)).toBeNull();
  expect(warning('hash', 2)).toBeNull();
  expect(warning('moge', 1)).toBeNull();
});

const warningFor = (...sets: string[]) =>
  longWarmUp(loadConfig('tiny', { sets: ['train.learningRate=0.01', 'train.warmupSteps=50', ...sets] }));

it('says how far the learning rate comes if the run ends in the warm-up', () => {
  expect(warningFor('train.steps=5')).toBe(
    'train.warmupSteps is 50, and the run has 5 steps: its learning rate rises to 0.001 only, not to train.learningRate 0.01',
  );
  expect(warningFor('train.maxTokens=5000')).toMatch(/the run has 2 steps: /);
  expect(warningFor('train.steps=50')).toBeNull();
});
