import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { findRun } from '@locmoe/run-format';
import { describe, expect, it } from 'vitest';
import { NIGHTLY } from '../nightly.js';
import { DATA_DIR, locmoe, MICRO, temporaryFolder, trainToTheEnd } from './support.js';

function micro() {
  const folder = temporaryFolder();
  const config = path.join(folder, 'micro.yaml');
  writeFileSync(config, MICRO);
  const bench = (...more: readonly string[]) =>
    locmoe(
      ...['bench', 'routers', '--config', config, '--set', 'moe.capacityFactor=1.1'],
      ...['--seeds', '1', '--steps', '12', '--time-steps', '12', '--link', '5'],
      ...['--work-dir', path.join(folder, 'work'), '--out', folder, '--data-dir', DATA_DIR, ...more],
    );
  const read = (name: string) => readFileSync(path.join(folder, name), 'utf8');
  return { folder, bench, read };
}

describe('bench routers', () => {
  it('serves for quality and time by one run where it is to be quick', async () => {
    const { folder, bench, read } = micro();
    const { code, stdout, stderr } = await bench('--quick', '--only', 'switch');
    expect(code, stdout + stderr).toBe(0);
    expect(stdout).toMatch(/^1 run, 0 of them kept from before$/m);
    expect(stdout).toMatch(/\[1\/1\] quick-switch-2x1-domain-seed1: step \d+ ms, all-to-all [\d.]+ %/);

    const figures = JSON.parse(read('routers.json'));
    expect(figures.allToAllShareOfBaselineStep).toBeGreaterThan(0);
    expect(figures.allToAllShareOfBaselineStep).toBeLessThan(1);
    expect(figures).toMatchObject({
      timeToBaselinePerplexity: { switch: 1 },
      tokensTrained: 12 * 8 * 32,
      frontier: [{ router: 'switch', tokensVsBaseline: 0 }],
      seeds: [1],
    });
    expect(figures.contrasts.map(({ difference }: { difference: unknown }) => difference)).toEqual(
      figures.contrasts.map(() => null),
    );
    expect(read('routers.md')).toMatch(/\| two-level hash \(RRE\) \| no run \|/);
    expect(read('routers.md')).toMatch(/\| switch \+ token preference \| \d+ \|/);
    // The probe looked into the checkpoints.
    for (const picture of [
      'step-time',
      'cosines',
      'calinski-harabasz',
      'stayed-with-expert',
      'perplexity',
      'frontier',
    ])
      expect(existsSync(path.join(folder, `routers-${picture}.svg`)), picture).toBe(true);
    expect(existsSync(path.join(folder, 'work/runs/quick-switch-2x1-domain-seed1'))).toBe(true);
  });

  it('makes runs for quality and for time, and does not make a finished one again', async () => {
    const { folder, bench, read } = micro();
    const first = await bench('--only', 'locmoe-plus-ecr,2x2,domain');
    expect(first.code, first.stdout + first.stderr).toBe(0);
    expect(first.stdout).toMatch(/^ {2}quality +12 steps, 0\.0 million tokens, on 2x\d+ +1 +0 +1 +\? +\?$/m);
    expect(first.stdout).toMatch(
      /\[1\/2\] quality-locmoe-plus-ecr-2x\d+-domain-seed1: .*, perplexity [\d.]+, \d+s, left \?$/m,
    );
    expect(first.stdout).toMatch(/\[2\/2\] time-locmoe-plus-ecr-2x2-domain-seed1: .*, left 0s$/m);
    const report = read('routers.md');
    expect(report).toContain('runs for time are still missing');

    const second = await bench('--only', 'locmoe-plus-ecr,2x2,domain');
    expect(second.stdout).toMatch(/^2 runs, 2 of them kept from before$/m);
    expect(second.stdout).toMatch(/^ {2}total +2 +2 +0 +0s$/m);
    expect(read('routers.md')).toBe(report);

    // Without what was kept: quality does not depend on the machine and is in the report's folder, time is measured anew.
    rmSync(path.join(folder, 'work'), { recursive: true });
    const names = read('routers-runs.jsonl')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).name);
    expect(names).toEqual([expect.stringMatching(/^quality-locmoe-plus-ecr-/)]);
    const third = await bench('--only', 'quality,locmoe-plus-ecr');
    expect(third.stdout).toMatch(/^1 run, 1 of them kept from before$/m);
  });

  it.runIf(NIGHTLY)(
    'grows the models of runs for quality from a dense one, and takes no other run for such a one',
    async () => {
      const { folder, bench, read } = micro();
      const sets = ['model.numDenseLayers=3', 'model.numSparseLayers=0', 'train.steps=10'];
      const dense = await trainToTheEnd({ folder: temporaryFolder(), nodes: 1, workersPerNode: 1, sets });
      const { code, stdout, stderr } = await bench('--only', 'quality,hash', '--inherit', dense);
      expect(code, stdout + stderr).toBe(0);
      expect(read('routers.md')).toContain(
        `These models grew from a dense one (\`--inherit\`, run \`${path.basename(dense)}\`), which had trained for 0.0 million tokens.\nAll seeds share it`,
      );
      const run = path.join(folder, 'work', 'runs', 'quality-hash-2x1-domain-seed1');
      expect(findRun(run).folder.readRecord()!.initFrom).toMatchObject({
        runId: path.basename(dense),
        step: 10,
      });
      const trained = await trainToTheEnd({
        folder: temporaryFolder(),
        nodes: 1,
        workersPerNode: 1,
        sets: ['train.steps=1'],
      });
      const sparse = await bench('--only', 'quality,hash', '--inherit', trained);
      expect([sparse.code, sparse.stdout]).toEqual([2, '']);
      expect(sparse.stderr).toMatch(/^locmoe: --inherit: checkpoint .* sparse layers .*\n$/);
      const other = await bench('--only', 'quality,hash');
      expect(other.stdout).toMatch(/^1 run, 0 of them kept from before$/m);
      expect(read('routers.md')).not.toContain('grew from');
    },
  );

  it('refuses a place for the report that cannot be made before it trains', async () => {
    const folder = temporaryFolder();
    const { code, stdout, stderr } = await locmoe(
      ...['bench', 'routers', '--quick', '--only', 'hash', '--out', '/dev/null/x', '--work-dir', folder],
    );
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toBe('locmoe: --out /dev/null/x: /dev/null is not a folder\n');
  });

  it('refuses a router that there is not', async () => {
    const { code, stderr } = await locmoe('bench', 'routers', '--only', 'random');
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /^locmoe: --only random: expected one of quality, time, hash, hash-two-level, switch, .*\n$/,
    );
  });
});
