import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import path from 'node:path';
import { type FailureReport, type FlightReport, readFlight, tracedSteps } from '@locmoe/run-format';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ChromeTrace, TraceEvent } from '../../src/cli/chrome-trace.js';
import { CLI, type Finished, locmoe, newestRun, startTraining, temporaryFolder } from './support.js';

const base = mkdtempSync(path.join(tmpdir(), 'locmoe-stopped-'));
let victim = 0;
let end: Finished;
let folder = '';
let report: FailureReport;

beforeAll(async () => {
  const sets = ['train.steps=100000', 'cluster.collectiveTimeoutS=3'];
  const run = startTraining({ folder: base, nodes: 2, workersPerNode: 1, sets });
  await run.until(/step +\d+\/100000/);
  victim = run.pidsOf('worker')[1];
  process.kill(victim, 'SIGSTOP');
  end = await run.finished;
  await run.expectNothingLeft();
  folder = newestRun(base);
  report = JSON.parse(readFileSync(path.join(folder, 'failure.json'), 'utf8'));
});

afterAll(() => rmSync(base, { recursive: true, force: true }));

async function flightOf(place: string): Promise<FlightReport> {
  const { code, stdout, stderr } = await locmoe('flight', place, '--json');
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout);
}

describe('a worker that is stopped by SIGSTOP', () => {
  it('is named, with what the others wait for', () => {
    expect(end.code).toBe(3);
    const verdicts = end.stderr.split('\n').filter((line) => line.startsWith('locmoe: '));
    expect(verdicts).toEqual([
      expect.stringMatching(
        new RegExp(
          `run failed: rank \\d, node \\d, step \\d+, .*worker \\(pid ${victim}\\) has been stopped \\(SIGSTOP\\) for \\d\\.\\d s`,
        ),
      ),
    ]);
    expect(report).toMatchObject({
      code: 'WORKER_HUNG',
      pid: victim,
      host: hostname(),
      exitCode: null,
      signal: null,
      step: expect.any(Number),
      operation: expect.stringMatching(/\w/),
      checkpoint: null,
      resumeCommand: null,
    });
    const culprit = report.ranks.find(({ rank }) => rank === report.rank)!;
    expect(culprit.processState).toBe('T');
    expect(culprit.lastHeardMs).toBeGreaterThan(1000);
    for (const { rank, lastHeardMs } of report.ranks)
      if (rank !== report.rank) expect(lastHeardMs).toBeLessThan(culprit.lastHeardMs);
    expect(end.stderr).toContain(`pid ${victim}, stopped (SIGSTOP)`);
    expect(end.stderr).toMatch(/no checkpoint was saved yet/);
    expect(end.stderr).toMatch(/who lagged: \S+cli\.js flight /);
  });

  it('is named by locmoe flight, in what the others wait for it, and for how long', async () => {
    expect(readdirSync(path.join(folder, 'flight')).sort()).toEqual([
      'generation-1-node-0.json',
      'generation-1-node-1.json',
    ]);
    const flight = await flightOf(folder);
    const odd = flight.ranks.find(({ pid }) => pid === victim)!;
    expect(flight.oddRanks).toEqual([odd.rank]);
    expect(flight.summary).toMatch(
      new RegExp(
        `^[a-z-]+ \\d+, step \\d+, .*: waiting for rank ${odd.rank} on node ${odd.node} for \\d\\.\\d s; ` +
          `rank ${odd.rank} .*, and its process ${victim} is stopped \\(SIGSTOP\\)$`,
      ),
    );
    const whole = flight.operations.filter(({ left }) => left.length === 2);
    expect(whole.length).toBeGreaterThan(5);
    for (const { last, tookMs, missing, differing } of whole) {
      expect(last?.lateMs).toBeGreaterThanOrEqual(0);
      expect(tookMs).toBeGreaterThanOrEqual(0);
      expect({ missing, differing }).toEqual({ missing: [], differing: [] });
    }
    const { stdout } = await locmoe('flight', folder, '--last', '3');
    expect(stdout.split('\n')[0]).toBe(flight.summary);
    expect(stdout).toMatch(new RegExp(`rank ${odd.rank} +${odd.node} +${victim} +T `));
    expect(stdout).toMatch(/last 3 of \d+ operations/);

    const other = await flightOf(path.join(folder, 'flight', `generation-1-node-${1 - odd.node}.json`));
    expect(other.missingNodes).toEqual([odd.node]);
    expect(other.ranks.map(({ node }) => node)).toEqual([1 - odd.node]);
  });

  it('has the steps before it in locmoe trace, and what the ranks were in', async () => {
    const file = path.join(base, 'trace.json');
    // A worker that is stopped between two steps leaves the other rank in the next one.
    const { complete, last } = tracedSteps(path.join(folder, 'trace')).at(-1)!;
    const { code, stderr } = await locmoe('trace', folder, '--out', file, '--steps', `${complete}..${last}`);
    expect(code, stderr).toBe(0);
    const { traceEvents } = JSON.parse(readFileSync(file, 'utf8')) as ChromeTrace;
    const slices = traceEvents.filter((event): event is Extract<TraceEvent, { ph: 'X' }> => event.ph === 'X');
    const unfinished = slices.filter(({ tid, args }) => tid <= 2 && args.unfinished === true);
    expect(new Set(unfinished.map(({ tid }) => tid)).size).toBe(2);
    // The other rank waits for the stopped one.
    const waits = unfinished.filter(({ cat, args }) => cat === 'collective' && Number(args.waitMs) > 500);
    expect(waits.length).toBeGreaterThanOrEqual(1);
  });
});

describe('locmoe flight', () => {
  it('refuses in one line what was cut short, is of another version or is something else', () => {
    const flight = temporaryFolder();
    cpSync(path.join(folder, 'flight'), flight, { recursive: true });
    const file = path.join(flight, 'generation-1-node-0.json');
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
      for (const place of [file, flight])
        expect(() => readFlight({ place, runsDir: 'runs', generation: undefined })).toThrow(line);
      rmSync(file);
      writeFileSync(file, good);
    }
    expect(() => readFlight({ place: flight, runsDir: 'runs', generation: 2 })).toThrow(
      /no flight file of generation 2/,
    );
    const empty = temporaryFolder();
    expect(() => readFlight({ place: 'absent', runsDir: empty, generation: undefined })).toThrow(
      /^run absent: .* holds no readable run\.json; give .*$/,
    );
    expect(spawnSync(process.execPath, [CLI, 'flight', empty], { encoding: 'utf8' })).toMatchObject({
      status: 2,
      stdout: '',
      stderr: expect.stringMatching(
        /^locmoe: .*: no flight files here; node agents write them when a run fails or is aborted\n$/,
      ),
    });
  });
});
