import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { findTorch } from '../../packages/bench/src/step/torch-peer.js';
import { elementTypeOf } from '../../src/ops/kernels/choose-kernels.js';
import { skipLoudly } from '../debian-tool.js';
import { DATA_DIR, Locmoe, locmoe, MICRO, temporaryFolder } from './support.js';

/** Why there is no PyTorch to compare with; null if there is one. */
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
/** Our programs of a cell. */
const OWN = HAS_BFLOAT16 ? ['own', 'own-bfloat16'] : ['own'];

/** Eight experts, of which some are full: what is dropped has to be the same too. */
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
    ...['bench', 'step', '--peer', 'torch', '--config', microRecipe(folder), '--data-dir', DATA_DIR],
    ...['--work-dir', path.join(folder, 'work'), ...rest],
  ];
}

describe('bench step', () => {
  it('trains as PyTorch does, and reports', async ({ skip }) => {
    if (reason !== null) return skipLoudly(skip, reason);
    const folder = temporaryFolder();
    const { code, stdout, stderr } = await locmoe(
      ...benchArguments(folder, '--only', 'small,2x2', '--turns', '1', '--steps', '4', '--verify-steps', '6'),
    );
    expect(code, stdout + stderr).toBe(0);
    expect(stdout).toMatch(/\[1\/1\] small-2x2: .* losses of 6 steps agree within [\d.]+e-[67]/);
    const work = path.join(folder, 'work');
    const figures = JSON.parse(readFileSync(path.join(work, 'step.json'), 'utf8'));
    expect(figures.small.tokensPerS).toBeGreaterThan(0);
    expect(figures.small.peakMemoryVsPeer).toBeGreaterThan(0.1);
    expect(figures.small.communicationShare).toBeLessThan(1);
    if (HAS_BFLOAT16) expect(figures.small.bfloat16.tokensPerS).toBeGreaterThan(0);
    else expect(figures.small.bfloat16).toBeNull();
    expect(figures.medium).toBeNull();
    // Neither weights nor what the ranks wrote.
    expect(readdirSync(work).sort()).toEqual([
      'runs',
      'step-parts.svg',
      'step-ranks.svg',
      'step.json',
      'step.md',
    ]);
    expect(readdirSync(path.join(work, 'runs')).sort()).toEqual(OWN.map((program) => `small-2x2-${program}`));
  });

  for (const { program, steps } of [
    { program: 'own', steps: '100000' },
    { program: 'peer', steps: '4' },
  ])
    it(`leaves nothing behind when it is interrupted in a run of ${program}`, async ({ skip }) => {
      if (reason !== null) return skipLoudly(skip, reason);
      const folder = temporaryFolder();
      const bench = new Locmoe(benchArguments(folder, '--only', 'small,1x1', '--verify-steps', steps));
      const runs = path.join(folder, 'work/runs');
      await expect
        .poll(() => existsSync(path.join(runs, `small-1x1-${program}`)), { timeout: 60_000 })
        .toBe(true);
      // Time to be in the middle of it.
      await new Promise((resolve) => setTimeout(resolve, 1000));
      bench.interrupt();
      const { code, stdout, stderr } = await bench.finished;
      expect(code, stdout + stderr).toBe(130);
      expect(stderr).toBe('locmoe: SIGINT: ended; there is no report\n');
      await bench.expectNothingLeft();
      expect(readdirSync(path.join(folder, 'work'))).toEqual(['runs']);
      expect(readdirSync(runs)).toEqual(program === 'own' ? [] : OWN.map((each) => `small-1x1-${each}`));
    });

  it('prints where the steps of a recipe go', async () => {
    const folder = temporaryFolder();
    const { code, stdout, stderr } = await locmoe(
      ...['bench', 'step', '--config', microRecipe(folder), '--steps', '6', '--data-dir', DATA_DIR],
    );
    expect(code, stdout + stderr).toBe(0);
    expect(stdout).toMatch(/recipe +tokens\/s +step +p10 +p90 +forward .* other +gc +peak MB\n/);
    const [run] = JSON.parse(stdout.trimEnd().split('\n').at(-1)!);
    expect(run.losses).toHaveLength(6);
    expect(run.gcMs).toBeGreaterThanOrEqual(0);
    expect(run.peakBytes).toBeGreaterThan(1e7);
  });

  it('refuses words and programs that there are not', async () => {
    const program = await locmoe('bench', 'step', '--peer', 'jax');
    expect(program.code).toBe(2);
    expect(program.stderr).toContain("argument 'jax' is invalid. Allowed choices are torch.");
  });
});
