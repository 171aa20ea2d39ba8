import { cpSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { FlightReport } from '@locmoe/run-format';
import { describe, expect, it } from 'vitest';
import { locmoe, newestRun, startTraining, temporaryFolder } from './support.js';

const TIMEOUT_S = 3;

/** Trains on two nodes of two workers until `disturb` has ended the run; returns its folder and what it said. */
async function failedRun(
  disturb: (workers: number[]) => void,
): Promise<{ readonly folder: string; readonly stderr: string }> {
  const base = temporaryFolder();
  const sets = ['train.steps=100000', `cluster.collectiveTimeoutS=${TIMEOUT_S}`];
  const run = startTraining({ folder: base, nodes: 2, workersPerNode: 2, sets });
  await run.until(/step +\d+\/100000/);
  disturb(run.pidsOf('worker'));
  const { code, stderr } = await run.finished;
  expect(code, stderr).toBe(3);
  await run.expectNothingLeft();
  return { folder: newestRun(base), stderr };
}

async function reportOf(place: string): Promise<FlightReport> {
  const { code, stdout, stderr } = await locmoe('flight', place, '--json');
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout);
}

describe('locmoe flight', () => {
  it('names a stopped worker, in what the others wait for it, and for how long', async () => {
    let victim = 0;
    const { folder, stderr } = await failedRun((workers) => {
      victim = workers[2];
      process.kill(victim, 'SIGSTOP');
    });
    expect(stderr).toMatch(/who lagged: locmoe flight /);
    expect(readdirSync(path.join(folder, 'flight')).sort()).toEqual([
      'generation-1-node-0.json',
      'generation-1-node-1.json',
    ]);
    const report = await reportOf(folder);
    const odd = report.ranks.find(({ pid }) => pid === victim)!;
    expect(report.oddRanks).toEqual([odd.rank]);
    expect(report.summary).toMatch(
      new RegExp(
        `^[a-z-]+ \\d+, step \\d+, .*: waiting for rank ${odd.rank} on node ${odd.node} for \\d\\.\\d s; ` +
          `rank ${odd.rank} .*, and its process ${victim} is stopped \\(SIGSTOP\\)$`,
      ),
    );
    const whole = report.operations.filter(({ left }) => left.length === 4);
    expect(whole.length).toBeGreaterThan(5);
    for (const { last, tookMs, missing, differing } of whole) {
      expect(last?.lateMs).toBeGreaterThanOrEqual(0);
      expect(tookMs).toBeGreaterThanOrEqual(0);
      expect({ missing, differing }).toEqual({ missing: [], differing: [] });
    }
    const { stdout } = await locmoe('flight', folder, '--last', '3');
    expect(stdout.split('\n')[0]).toBe(report.summary);
    expect(stdout).toMatch(new RegExp(`rank ${odd.rank} +${odd.node} +${victim} +T `));
    expect(stdout).toMatch(/last 3 of \d+ operations/);
  });

  it('names a killed worker, also from the file of the other node alone', async () => {
    let victim = 0;
    const { folder } = await failedRun((workers) => {
      victim = workers[1];
      process.kill(victim, 'SIGKILL');
    });
    const report = await reportOf(folder);
    const odd = report.ranks.find(({ pid }) => pid === victim)!;
    expect(report.oddRanks).toEqual([odd.rank]);
    expect(report.summary).toMatch(new RegExp(`rank ${odd.rank} .*, and its process ${victim} has died$`));
    expect(report.missingNodes).toEqual([]);

    const other = await reportOf(path.join(folder, 'flight', `generation-1-node-${1 - odd.node}.json`));
    expect(other.missingNodes).toEqual([odd.node]);
    expect(other.ranks.map(({ node }) => node)).toEqual([1 - odd.node, 1 - odd.node]);

    await refusesBadFiles(path.join(folder, 'flight'));
  });

  it('says in one line that there is nothing to read', async () => {
    const folder = temporaryFolder();
    for (const [args, line] of [
      [
        [folder],
        /^locmoe: .*: no flight files here; node agents write them when a run fails or is aborted\n$/,
      ],
      [['absent', '--runs-dir', folder], /^locmoe: run absent: .* holds no readable run\.json; give .*\n$/],
      [['--last', '0'], /'--last <n>'.* whole number of at least 1/],
    ] as const) {
      const { code, stderr } = await locmoe('flight', ...args);
      expect(code).toBe(2);
      expect(stderr).toMatch(line);
    }
  });
});

/** What was cut short, is of another version or is something else is told in one line each. */
async function refusesBadFiles(flight: string): Promise<void> {
  const folder = temporaryFolder();
  cpSync(flight, folder, { recursive: true });
  const file = path.join(folder, 'generation-1-node-0.json');
  const good = readFileSync(file, 'utf8');
  const cases: [() => void, RegExp][] = [
    [() => truncateSync(file, 1000), /: is no JSON: cut short or damaged/],
    [() => truncateSync(file, 0), /: is no JSON: cut short or damaged/],
    [
      () => writeFileSync(file, good.replace('"version":1', '"version":2')),
      /: has version 2; this locmoe reads version 1/,
    ],
    [() => writeFileSync(file, good.replace('"pid":', '"pit":')), /: is damaged: ranks\.0\.pid: /],
    [() => writeFileSync(file, '{"a":1}'), /: is no flight file of locmoe$/],
  ];
  for (const [damage, line] of cases) {
    damage();
    for (const place of [file, folder]) {
      const { code, stdout, stderr } = await locmoe('flight', place);
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr.trim()).toMatch(line);
      expect(stderr.trim().split('\n')).toHaveLength(1);
    }
    rmSync(file);
    writeFileSync(file, good);
  }
  const { code, stderr } = await locmoe('flight', folder, '--generation', '2');
  expect(code).toBe(2);
  expect(stderr).toMatch(/no flight file of generation 2/);
}
