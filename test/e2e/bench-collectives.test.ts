import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { skipLoudly } from '../debian-tool.js';
import { NIGHTLY } from '../nightly.js';
import { Locmoe, temporaryFolder } from './support.js';

const SMALL = '1x2,all-to-all,16384';

function bench(folder: string, only: string, ...more: readonly string[]): string[] {
  const folders = ['--work-dir', path.join(folder, 'work'), '--out', folder];
  return ['bench', 'collectives', '--quick', '--only', only, ...folders, ...more];
}

/** Segments of all ranks that a process has started. */
function segmentsOf(pid: number | undefined): string[] {
  return readdirSync('/dev/shm').filter((name) => name.startsWith(`locmoe-ranks-${pid}-`));
}

describe('bench collectives', () => {
  it('times ours, goes on without a peer that is not installed, and prints a table', async () => {
    const folder = temporaryFolder();
    const run = new Locmoe(bench(folder, `${SMALL},openmpi`), { PATH: folder });
    const { code, stdout, stderr } = await run.finished;
    expect(code, stdout + stderr).toBe(0);
    expect(stdout).toMatch(
      /locmoe, 1x2\n {2}all-to-all 16 KiB: \S+ \(\S+ to \S+\) ms, [\d.]+ GB\/s, \d+ times/,
    );
    expect(stdout).toContain(
      'openmpi: not measured (packages/bench/peers/install.sh installs it): spawn mpirun ENOENT\n',
    );
    expect(stdout).toMatch(/^ {2} +bytes +system +median +p10 +p90 +bus$/m);
    expect(stdout).toMatch(/^ {2}all-to-all +16 KiB +locmoe 1x2 +\S+ +\S+ +\S+ +\S+$/m);
    const { exchanges, machine } = JSON.parse(readFileSync(path.join(folder, 'collectives.json'), 'utf8'));
    expect(exchanges).toMatchObject([{ system: 'locmoe', layout: '1x2', bytes: 16_384 }]);
    expect(exchanges[0].busGbPerS).toBeGreaterThan(0);
    expect(machine).toMatch(/ x /);
    await run.expectNothingLeft();
    expect(segmentsOf(run.child.pid)).toEqual([]);
  });

  it.runIf(NIGHTLY)('measures OpenMPI in the same run', async ({ skip }) => {
    if (spawnSync('mpicc', ['--version'], { stdio: 'ignore' }).error !== undefined)
      skipLoudly(skip, 'no mpicc: packages/bench/peers/install.sh installs it');
    const folder = temporaryFolder();
    const run = new Locmoe(bench(folder, `${SMALL},openmpi`));
    const { code, stdout, stderr } = await run.finished;
    expect(code, stdout + stderr).toBe(0);
    expect(stdout).toMatch(/OpenMPI, shared memory, 2 ranks\n {2}all-to-all 16 KiB: .*\nopenmpi: OpenMPI \d/);
    await run.expectNothingLeft();
  });

  it('leaves nothing behind on Ctrl-C', async () => {
    const folder = temporaryFolder();
    const run = new Locmoe(bench(folder, '2x2,16384', '--no-peers'));
    await run.until(/locmoe, 2x2/);
    await expect.poll(() => run.descendants().length).toBeGreaterThanOrEqual(5);
    run.interrupt();
    const { code, stdout, stderr } = await run.finished;
    expect(code, stdout + stderr).toBe(130);
    expect(stderr).toBe('locmoe: SIGINT: ended; nothing was reported\n');
    await run.expectNothingLeft();
    expect(segmentsOf(run.child.pid)).toEqual([]);
  });
});
