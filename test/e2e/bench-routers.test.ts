import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { DATA_DIR, locmoe, MICRO, temporaryFolder } from './support.js';

describe('bench routers', () => {
  it('trains each router, prints them side by side, and makes no finished run again', async () => {
    const folder = temporaryFolder();
    const config = path.join(folder, 'micro.yaml');
    writeFileSync(config, MICRO);
    const work = path.join(folder, 'work');
    const bench = (...more: readonly string[]) =>
      locmoe(
        'bench',
        'routers',
        '--config',
        config,
        '--set',
        'moe.capacityFactor=1.1',
        '--steps',
        '2',
        '--set',
        'cluster.nodes=2',
        '--set',
        'cluster.workersPerNode=1',
        '--work-dir',
        work,
        '--data-dir',
        DATA_DIR,
        ...more,
      );
    const first = await bench('--seeds', '1', '--only', 'switch,locmoe-plus');
    expect(first.code, first.stdout + first.stderr).toBe(0);
    expect(first.stdout).toMatch(/^\[1\/2\] switch, seed 1: perplexity [\d.]+, step \d+ ms$/m);
    // Narrow terminals fold the header.
    expect(first.stdout).toMatch(/^ {2}router +loss +perplexity +step/m);
    const row = /^ {2}locmoe-plus +\d\.\d{3} +[\d.]+ +\d+ /m.exec(first.stdout);
    expect(row, first.stdout).not.toBeNull();
    const { runs } = JSON.parse(readFileSync(path.join(work, 'routers.json'), 'utf8'));
    expect(runs.map(({ router, seed }: { router: string; seed: number }) => [router, seed])).toEqual([
      ['switch', 1],
      ['locmoe-plus', 1],
    ]);
    for (const { figures } of runs) {
      expect(figures.steps).toBe(2);
      expect(figures.allToAllShare).toBeGreaterThan(0);
      expect(figures.allToAllShare).toBeLessThan(1);
      expect(figures.bytesOtherNode).toBeGreaterThan(0);
    }
    expect(existsSync(path.join(work, 'runs/switch-seed1'))).toBe(true);

    const second = await bench('--seeds', '1', '--only', 'switch,locmoe-plus');
    const table = (stdout: string) => stdout.slice(stdout.indexOf('  router'));
    expect(table(second.stdout)).toBe(table(first.stdout));
    // A run with another configuration is trained again.
    const third = await bench('--seeds', '1', '--only', 'switch', '--set', 'cluster.nodes=1');
    expect(third.code, third.stdout + third.stderr).toBe(0);
    expect(table(third.stdout)).not.toContain(/^ {2}switch .*$/m.exec(table(first.stdout))![0]);
  });
});

it('bench gate holds a router of your own against its table in one line, and trains no finished run again', async () => {
  const work = temporaryFolder();
  const bench = () =>
    locmoe(
      'bench',
      'gate',
      './examples/my-router.mjs',
      '--quick',
      '--work-dir',
      work,
      '--data-dir',
      DATA_DIR,
    );
  const { code, stdout, stderr } = await bench();
  expect(code, stdout + stderr).toBe(0);
  const share = String.raw`\d+\.\d %`;
  const beside = String.raw`${share} \(table ${share}\)`;
  const line = new RegExp(
    String.raw`^20 steps of one seed, which say nothing: my-router\.mjs: perplexity [+-]${share} \(one seed\) against two tables of the id; as the id before ${share}; on its node ${beside}; step [+-]${share}; cache hits ${beside}$`,
    'm',
  );
  expect(stdout).toMatch(line);
  const figures = JSON.parse(readFileSync(path.join(work, 'gate.json'), 'utf8'));
  expect(stdout).toContain(figures.line);
  expect(figures).toMatchObject({
    router: expect.stringMatching(/my-router\.mjs#sha256=[0-9a-f]{64}$/),
    numChoices: 2,
    runs: [{ seed: 101, own: expect.any(Number), other: expect.any(Number), run: { steps: 20 } }],
    // Tables of ids know nothing of nodes, and a token before has had the same experts.
    tableFirst: { idShare: 1, firstLosses: { length: 20 } },
    timed: { own: { steps: 20 }, table: { localShare: expect.closeTo(0.5, 1) } },
  });
  const again = await bench();
  expect(again.stdout).toContain(figures.line);
  // The first steps of the table tell each time what this machine computes.
  expect(again.stdout.match(/^.*: 20 steps$/gm)).toEqual(['two tables of the id-first: 20 steps']);
});
