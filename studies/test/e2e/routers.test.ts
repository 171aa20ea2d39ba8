import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { findRun } from '@locmoe/run-format';
import { describe, expect, it } from 'vitest';
import { DATA_DIR, Locmoe, MICRO, trainToTheEnd } from '../../../test/e2e/support.js';
import { STUDY, temporaryFolder } from '../support.js';

function micro() {
  const folder = temporaryFolder();
  const config = path.join(folder, 'micro.yaml');
  writeFileSync(config, MICRO);
  const study = (...more: readonly string[]) =>
    new Locmoe(
      [
        ...['routers', '--config', config, '--set', 'moe.capacityFactor=1.1'],
        ...['--seeds', '1', '--steps', '12', '--time-steps', '12', '--link', '5'],
        ...['--work-dir', path.join(folder, 'work'), '--out', folder, '--data-dir', DATA_DIR, ...more],
      ],
      {},
      STUDY,
    ).finished;
  const read = (name: string) => readFileSync(path.join(folder, name), 'utf8');
  return { folder, study, read };
}

describe('the study of routers', () => {
  it('serves for quality and time by one run where it is to be quick', async () => {
    const { folder, study, read } = micro();
    const { code, stdout, stderr } = await study('--quick', '--only', 'switch');
    expect(code, stdout + stderr).toBe(0);
    expect(stdout).toMatch(/^1 parts, 0 of them kept from before/m);
    expect(stdout).toMatch(/^ {2}step \d+ ms, all-to-all [\d.]+ %.*, perplexity [\d.]+$/m);

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
  });

  it('makes runs for quality from a dense model and for time, takes published ones, and no other run for a dense one', async () => {
    const { folder, study, read } = micro();
    const sets = ['model.numDenseLayers=3', 'model.numSparseLayers=0', 'train.steps=10'];
    const dense = await trainToTheEnd({ folder: temporaryFolder(), nodes: 1, workersPerNode: 1, sets });
    const first = await study('--only', 'locmoe-plus-ecr,2x2,domain', '--inherit', dense);
    expect(first.code, first.stdout + first.stderr).toBe(0);
    expect(read('routers.md')).toContain(
      `These models grew from a dense one (\`--inherit\`, run \`${path.basename(dense)}\`), which had trained for 0.0 million tokens.\nAll seeds share it`,
    );
    expect(read('routers.md')).toContain('runs for time are still missing');
    const run = path.join(folder, 'work/runs/quality-locmoe-plus-ecr-2x1-domain-seed1');
    expect(findRun(run).folder.readRecord()!.initFrom).toMatchObject({
      runId: path.basename(dense),
      step: 10,
    });
    const { runs } = JSON.parse(read('routers.json'));
    expect(runs.map(({ kind }: { kind: string }) => kind)).toEqual(['quality', 'time']);

    // Without what was kept: quality does not depend on the machine and is in the report's folder.
    const third = await study(
      '--only',
      'quality,locmoe-plus-ecr',
      '--inherit',
      dense,
      '--work-dir',
      `${folder}/2`,
    );
    expect(third.stdout).toMatch(/^1 parts, 1 of them kept from before/m);

    const trained = await trainToTheEnd({
      folder: temporaryFolder(),
      nodes: 1,
      workersPerNode: 1,
      sets: ['train.steps=1'],
    });
    const sparse = await study('--only', 'quality,hash', '--inherit', trained);
    expect(sparse.code).toBe(2);
    expect(sparse.stderr).toMatch(/^study: --inherit: checkpoint .* sparse layers .*\n$/);
  });
});
