import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { DATA_DIR, locmoe, MICRO, temporaryFolder } from './support.js';

describe('bench routers', () => {
  it('compares two routers, reports, and does not make a finished run again', async () => {
    const folder = temporaryFolder();
    const config = path.join(folder, 'micro.yaml');
    writeFileSync(config, MICRO);
    const bench = () =>
      locmoe(
        ...['bench', 'routers', '--config', config, '--set', 'moe.capacityFactor=1.1'],
        ...['--only', 'hash,switch,2x2,domain', '--seeds', '1', '--steps', '12', '--link', '5'],
        ...['--work-dir', path.join(folder, 'work'), '--out', folder, '--data-dir', DATA_DIR],
      );
    const first = await bench();
    expect(first.code, first.stdout + first.stderr).toBe(0);
    expect(first.stdout).toContain('2 runs, 0 of them kept from before');
    expect(first.stdout).toMatch(/\[2\/2\] switch-2x2-domain-seed1: step \d+ ms, all-to-all [\d.]+ %/);

    const figures = JSON.parse(readFileSync(path.join(folder, 'routers.json'), 'utf8'));
    expect(figures.allToAllShareOfBaselineStep).toBeGreaterThan(0);
    expect(figures.allToAllShareOfBaselineStep).toBeLessThan(1);
    expect(figures).toMatchObject({ locmoe: { stepTimeVsHash: null }, seeds: [1] });
    const markdown = readFileSync(path.join(folder, 'routers.md'), 'utf8');
    expect(markdown).toMatch(/\| switch \(baseline\) \| \d+ \|/);
    // The probe looked into the checkpoints of both runs.
    for (const picture of ['step-time', 'cosines', 'calinski-harabasz', 'perplexity'])
      expect(existsSync(path.join(folder, `routers-${picture}.svg`)), picture).toBe(true);
    expect(existsSync(path.join(folder, 'work/runs/hash-2x2-domain-seed1'))).toBe(true);

    const second = await bench();
    expect(second.stdout).toContain('2 runs, 2 of them kept from before');
    expect(JSON.parse(readFileSync(path.join(folder, 'routers.json'), 'utf8'))).toEqual(figures);
  }, 120_000);

  it('refuses a router that there is not', async () => {
    const { code, stderr } = await locmoe('bench', 'routers', '--only', 'random');
    expect(code).toBe(2);
    expect(stderr).toMatch(/^locmoe: --only random: expected one of hash, switch, .*\n$/);
  });
});
