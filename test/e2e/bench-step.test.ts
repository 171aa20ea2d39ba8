import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { findTorch } from '../../packages/bench/src/step/torch-peer.js';
import { elementTypeOf } from '../../src/ops/kernels/choose-kernels.js';
import { skipLoudly } from '../debian-tool.js';
import { HAS_WEBGPU } from '../has-webgpu.js';
import { NIGHTLY } from '../nightly.js';
import { DATA_DIR, Locmoe, locmoe, MICRO, temporaryFolder } from './support.js';

/** Why PyTorch is unavailable for the comparison; null if it is available. */
function whyNoTorch(): string | null {
  try {
    findTorch();
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

const reason = whyNoTorch();
const HAS_BFLOAT16 = elementTypeOf('auto') === 'bfloat16';
/** locmoe's own programs in a cell of the benchmark. */
const OWN = HAS_BFLOAT16 ? ['own', 'own-bfloat16'] : ['own'];

/** Eight experts, of which some are full: dropped choices have to agree too. */
function microRecipe(folder: string): string {
  const config = path.join(folder, 'micro.yaml');
  writeFileSync(
    config,
    MICRO.replace('numExperts: 4', 'numExperts: 8').replace('capacityFactor: null', 'capacityFactor: 1.25'),
  );
  return config;
}

function benchArguments(folder: string, ...rest: string[]): string[] {
  return [
    'bench',
    'step',
    '--peer',
    'torch',
    '--config',
    microRecipe(folder),
    '--data-dir',
    DATA_DIR,
    '--work-dir',
    path.join(folder, 'work'),
    ...rest,
  ];
}

/** Each turn trains anew with every program. */
const TURNS = NIGHTLY ? 2 : 1;

const ONE_RANK = ['--set', 'cluster.nodes=1', '--set', 'cluster.workersPerNode=1'];

describe('bench step', () => {
  it('trains as PyTorch does, and prints both side by side', async ({ skip }) => {
    if (reason !== null) return skipLoudly(skip, reason);
    const folder = temporaryFolder();
    const { code, stdout, stderr } = await locmoe(
      ...benchArguments(folder, '--turns', String(TURNS), '--steps', '4', '--verify-steps', '4'),
    );
    expect(code, stdout + stderr).toBe(0);
    const lengths = [4, 4].slice(0, TURNS);
    for (const [turn, steps] of lengths.entries())
      expect(stdout).toMatch(
        new RegExp(
          `\\[${turn + 1}/${TURNS}\\] .*micro\\.yaml: .* losses of ${steps} steps agree within [\\d.]+e-[67]`,
        ),
      );
    expect(stdout).toMatch(/micro\.yaml +tokens\/s +of PyTorch +step +p10 +p90 +forward .* gc +peak MB\n/);
    expect(stdout).toMatch(/^ {2}locmoe +[\d,]+ +[\d.]+x /m);
    expect(stdout).toMatch(/^ {2}PyTorch \+ Gloo +[\d,]+ +\d/m);
    const work = path.join(folder, 'work');
    const { turns, peer } = JSON.parse(readFileSync(path.join(work, 'step.json'), 'utf8'));
    expect(peer.version).toMatch(/^\d/);
    expect(turns.map(({ steps }: { steps: number }) => steps)).toEqual(lengths);
    for (const { runs } of turns) {
      expect(runs.own.tokensPerS).toBeGreaterThan(0);
      expect(runs.own.peakBytes / runs.peer.peakBytes).toBeGreaterThan(0.1);
      expect('own-bfloat16' in runs).toBe(HAS_BFLOAT16);
    }
    // Neither weights nor files of the ranks are left.
    expect(readdirSync(work).sort()).toEqual(['runs', 'step.json']);
    expect(readdirSync(path.join(work, 'runs')).sort()).toEqual(
      OWN.map((program) => `micro.yaml-${program}`),
    );
  });

  it.runIf(NIGHTLY)('trains the other family as PyTorch does', async ({ skip }) => {
    if (reason !== null) return skipLoudly(skip, reason);
    const folder = temporaryFolder();
    const sets = ['family=llama', 'numHeads=4', 'numKeyValueHeads=2'].map((set) => `model.${set}`);
    const family = sets.flatMap((set) => ['--set', set]);
    const args = benchArguments(folder, ...family, ...ONE_RANK, '--turns', '1', '--verify-steps', '6');
    const { code, stdout, stderr } = await locmoe(...args);
    expect(code, stdout + stderr).toBe(0);
    expect(stdout).toMatch(/\[1\/1\] .*micro\.yaml: .* losses of 6 steps agree within [\d.]+e-[67]/);
  });

  // By day documented-commands.test.ts interrupts it.
  for (const { program, steps } of [
    { program: 'own', steps: '100000' },
    { program: 'peer', steps: '4' },
  ])
    it.runIf(NIGHTLY)(
      `leaves nothing behind when it is interrupted in a run of ${program}`,
      async ({ skip }) => {
        if (reason !== null) return skipLoudly(skip, reason);
        const folder = temporaryFolder();
        const bench = new Locmoe(benchArguments(folder, ...ONE_RANK, '--verify-steps', steps));
        const runs = path.join(folder, 'work/runs');
        await expect
          .poll(() => existsSync(path.join(runs, `micro.yaml-${program}`)), { timeout: 240_000 })
          .toBe(true);
        bench.interrupt();
        const { code, stdout, stderr } = await bench.finished;
        expect(code, stdout + stderr).toBe(130);
        expect(stderr).toBe('locmoe: SIGINT: ended; there is no report\n');
        await bench.expectNothingLeft();
        expect(readdirSync(path.join(folder, 'work'))).toEqual(['runs']);
        expect(readdirSync(runs)).toEqual(program === 'own' ? [] : OWN.map((each) => `micro.yaml-${each}`));
      },
    );

  const measured = async (...args: string[]) => {
    const work = path.join(temporaryFolder(), 'work');
    const config = ['--config', microRecipe(temporaryFolder()), '--steps', '4', '--data-dir', DATA_DIR];
    const { code, stdout, stderr } = await locmoe('bench', 'step', ...config, '--work-dir', work, ...args);
    expect(code, stdout + stderr).toBe(0);
    return { stdout, figuresIn: (file: string) => JSON.parse(readFileSync(path.join(work, file), 'utf8')) };
  };

  it('prints where the steps of a recipe go', async () => {
    const { stdout, figuresIn } = await measured();
    expect(stdout).toMatch(/micro\.yaml +tokens\/s +step +p10 +p90 +forward .* other +gc +peak MB\n/);
    const { own } = figuresIn('step.json').turns[0].runs;
    expect(own.losses).toHaveLength(4);
    expect(own.gcMs).toBeGreaterThanOrEqual(0);
    expect(own.peakBytes).toBeGreaterThan(1e7);
  });

  it('trains on a graphics device in turns with the processor', async ({ skip }) => {
    if (!HAS_WEBGPU) return skipLoudly(skip, 'no WebGPU here');
    const turns = ['--turns', '2', '--verify-steps', '4'];
    const { stdout, figuresIn } = await measured('--device', 'webgpu', ...turns);
    expect(stdout).toMatch(/\[1\/2\] .*own-webgpu .* losses of 4 steps agree within \d/);
    expect(stdout).toMatch(/^ {2}locmoe, WebGPU +[\d,]+ +[\d.]+x /m);
    expect(stdout).toMatch(/micro\.yaml on 1x1: the products of a step reach [\d.]+ GFLOP\/s/);
    const { device, turns: done } = figuresIn('step.json');
    expect(device.description).not.toBe('');
    expect(done.map(({ runs }: { runs: object }) => Object.keys(runs))).toEqual([
      ['own', 'own-webgpu'],
      ['own-webgpu', 'own'],
    ]);
  });

  it('makes the bill of a step, by operation', async () => {
    const { stdout, figuresIn } = await measured('--bill', '--set', 'cluster.workersPerNode=2');
    expect(stdout).toMatch(/micro\.yaml +calls +ms +% +GFLOP\/s +GB\/s +limit +lost\n/);
    const [bill] = figuresIn('bill.json').bills;
    const lines = new Map<string, number>(
      bill.lines.map(({ operation, ms }: { operation: string; ms: number }) => [operation, ms]),
    );
    expect([...lines.values()].reduce((sum, ms) => sum + ms)).toBeCloseTo(bill.stepMs, 6);
    for (const operation of ['network of fixed rows', 'optimizer', 'waiting for other ranks'])
      expect(lines.get(operation), operation).toBeGreaterThan(0);
    const beside = [...lines].find(([operation]) => operation.startsWith('beside all'))![1];
    expect(beside / bill.stepMs).toBeGreaterThan(0);
    expect(bill.ranks).toHaveLength(2);
  });

  it('refuses a bill of a device', async () => {
    const { code, stderr } = await locmoe('bench', 'step', '--bill', '--set', 'train.device=webgpu');
    expect([code, stderr]).toEqual([
      2,
      expect.stringMatching(/^locmoe: tiny: a bill takes train\.device cpu/),
    ]);
  });
});
