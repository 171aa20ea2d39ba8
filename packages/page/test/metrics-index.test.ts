import {
  appendFileSync,
  closeSync,
  cpSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { dropRecordsAfter } from '@locmoe/run-format';
import { machineIdentity, processIdentity } from '@locmoe/run-format/process-identity';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ExpertsReply, MetricsReply, RanksReply } from '../src/api-types.js';
import { MetricsTable } from '../src/metrics-table.js';
import { pageFeature } from '../src/page-feature.js';
import { STARTED_AT, stepRecord, temporaryRuns, writeRun } from './run-fixture.js';
import { appendSteps, LARGE_RUN, type SyntheticRun, writeSyntheticRun } from './synthetic-run.js';

/** A run that is just long enough for an index. */
const RUN: SyntheticRun = { ...LARGE_RUN, runId: 'run', numLayers: 4 };
/** A run whose index is saved once before its end, so that it has two blocks. */
const LONG_RUN: SyntheticRun = { ...RUN, numLayers: 16 };
const STEPS = 900;
const LAYER = 5;
const DEADLINE_MS = 60_000;

interface Answers {
  readonly metrics: MetricsReply;
  readonly ofLayer: MetricsReply;
  readonly experts: ExpertsReply;
  readonly ranks: RanksReply;
}

/** Asks a new server for what it tells of the run. */
function serverOf(runs: string) {
  const { routes } = pageFeature(runs);
  return async <T>(tail: string) =>
    (await (await routes.request(`http://localhost/api/runs/run/${tail}`)).json()) as T;
}

/** The answers of a new server about the run, once it has read all. */
async function answersOf(runs: string): Promise<Answers> {
  const json = serverOf(runs);
  const deadline = performance.now() + DEADLINE_MS;
  let metrics = await json<MetricsReply>('metrics');
  while (metrics.reading !== null && performance.now() < deadline)
    metrics = await json<MetricsReply>('metrics');
  const ofLayer = await json(`metrics?layer=${LAYER}`);
  const answers = { metrics, ofLayer, experts: await json('experts?layers=1,5'), ranks: await json('ranks') };
  // A cursor counts how often the server began with the metrics.
  return JSON.parse(JSON.stringify(answers, (key, value) => (key === 'cursor' ? undefined : value)));
}

const indexOf = (runs: string) => path.join(runs, 'run', 'metrics-index');
const metricsOf = (runs: string) => path.join(runs, 'run', 'metrics.ndjson');
const statesOf = (runs: string) =>
  existsSync(indexOf(runs)) ? readdirSync(indexOf(runs)).filter((name) => name.startsWith('state')) : [];
/** The newest state. */
const stateOf = (runs: string) =>
  path.join(
    indexOf(runs),
    statesOf(runs).reduce((a, b) => (Number(a.slice(6)) > Number(b.slice(6)) ? a : b)),
  );

/** The answers of a server that finds no index. */
async function withoutIndex(runs: string): Promise<Answers> {
  const bare = temporaryRuns();
  cpSync(path.join(runs, 'run'), path.join(bare, 'run'), { recursive: true });
  rmSync(indexOf(bare), { recursive: true, force: true });
  return answersOf(bare);
}

/** Overwrites a part of the metrics that is far from the ends of blocks, whose bytes are checked. */
function blankMetrics(runs: string): void {
  const { size } = statSync(metricsOf(runs));
  const length = Math.round(0.2 * size);
  const file = openSync(metricsOf(runs), 'r+');
  writeSync(file, Buffer.alloc(length, ' '), 0, length, Math.round(0.05 * size));
  closeSync(file);
}

/** Changes a byte. */
function damage(file: string, at: number): void {
  const bytes = readFileSync(file);
  bytes[at] ^= 0xff;
  writeFileSync(file, bytes);
}

/** Writes a run that outlives a test, as several of them copy it. */
function make(run: SyntheticRun): string {
  const runs = temporaryRuns((remove) => process.once('exit', remove));
  writeSyntheticRun(runs, run, { steps: STEPS });
  return runs;
}

function copyOf(made: string): string {
  const runs = temporaryRuns();
  cpSync(path.join(made, 'run'), path.join(runs, 'run'), { recursive: true });
  return runs;
}

describe('an index beside the metrics', () => {
  let made = '';
  let first: Answers;
  beforeAll(async () => {
    made = make(RUN);
    first = await answersOf(made);
  }, 240_000);
  const copied = () => copyOf(made);

  it('tells what the metrics tell, without reading them', { timeout: 240_000 }, async () => {
    const runs = copied();
    blankMetrics(runs);
    expect(await answersOf(runs)).toEqual(first);
    expect((await withoutIndex(runs)).metrics.numRows).toBeLessThan(STEPS);
    expect(first.metrics.numRows).toBe(STEPS);
    expect(first.ofLayer.groups.routing.otherNode).toHaveLength(STEPS);
    expect(first.ofLayer.groups.routing.otherNode).not.toContain(null);
  });

  it('tells also what has been recorded since', { timeout: 240_000 }, async () => {
    const runs = copied();
    appendSteps(path.join(runs, 'run'), RUN, STEPS + 1, STEPS + 50);
    const answers = await answersOf(runs);
    expect(answers.metrics.lastStep).toBe(STEPS + 50);
    expect(answers).toEqual(await withoutIndex(runs));
  });

  it.each<[string, (runs: string) => void]>([
    ['columns are cut short', (runs) => truncateSync(path.join(indexOf(runs), 'columns'), 50_000)],
    ['columns are gone', (runs) => rmSync(path.join(indexOf(runs), 'columns'))],
    ['a column of steps is damaged', (runs) => damage(path.join(indexOf(runs), 'columns'), 5_000)],
    [
      'a column of a layer is damaged',
      (runs) => {
        const columns = path.join(indexOf(runs), 'columns');
        damage(columns, statSync(columns).size - 10);
      },
    ],
    ['its state is damaged', (runs) => damage(stateOf(runs), 300)],
    ['its state is cut short', (runs) => truncateSync(stateOf(runs), 1_000)],
    ['its state is empty', (runs) => truncateSync(stateOf(runs), 0)],
    ['the run has gone back to a step', (runs) => dropRecordsAfter(metricsOf(runs), 700)],
    ['the run has gone back to its beginning', (runs) => dropRecordsAfter(metricsOf(runs), 3)],
    [
      'the run has gone back, and then beyond where it was',
      (runs) => {
        dropRecordsAfter(metricsOf(runs), 500);
        appendSteps(path.join(runs, 'run'), { ...RUN, startedAt: RUN.startedAt + 1e6 }, 501, STEPS + 100);
      },
    ],
    [
      'it is of another run',
      (runs) => {
        rmSync(metricsOf(runs));
        appendSteps(
          path.join(runs, 'run'),
          { ...RUN, numLayers: RUN.numLayers + 1, startedAt: RUN.startedAt + 1 },
          1,
          STEPS,
        );
      },
    ],
  ])('is not believed if %s', { timeout: 240_000 }, async (_, change) => {
    const runs = copied();
    change(runs);
    expect(await answersOf(runs)).toEqual(await withoutIndex(runs));
    // The index that was made anew holds as well.
    expect(await answersOf(runs)).toEqual(await withoutIndex(runs));
  });

  it('is done without where none can be written', { timeout: 240_000 }, async () => {
    const runs = copied();
    rmSync(indexOf(runs), { recursive: true });
    writeFileSync(indexOf(runs), 'a file in its place');
    expect(await answersOf(runs)).toEqual(first);
  });

  it('knows where each step is recorded', { timeout: 240_000 }, async () => {
    const table = new MetricsTable({
      path: metricsOf(made),
      indexDirectory: indexOf(made),
      startedAt: RUN.startedAt,
      keepsIndex: () => ({ isMine: false, isOver: true }),
    });
    for (const step of [1, 450, STEPS]) {
      const record = await table.recordAt(step);
      expect([record?.step, record?.layers.length]).toEqual([step, RUN.numLayers]);
    }
    expect(await table.recordAt(STEPS + 1)).toBeNull();
    expect(await table.recordAt(0)).toBeNull();
  });
});

describe('an index that is saved while the run goes on', () => {
  let long = '';
  let experts: ExpertsReply;
  beforeAll(async () => {
    long = make(LONG_RUN);
    ({ experts } = await answersOf(long));
  }, 240_000);

  it('goes on from an earlier state if the run went back a little', { timeout: 240_000 }, async () => {
    const runs = copyOf(long);
    expect(statesOf(runs).length).toBeGreaterThan(1);
    dropRecordsAfter(metricsOf(runs), 800);
    blankMetrics(runs);
    const { metrics } = await answersOf(runs);
    expect([metrics.firstStep, metrics.lastStep, metrics.numRows]).toEqual([1, 800, 800]);
  });

  it('is made by the process that leads the run, and by no other', { timeout: 240_000 }, async () => {
    const runs = copyOf(long);
    rmSync(indexOf(runs), { recursive: true });
    const live = {
      state: 'running',
      address: '127.0.0.1:1',
      generation: 1,
      datasetDir: 'data',
      runId: 'run',
    };
    const startedAt = new Date(LONG_RUN.startedAt).toISOString();
    const write = (record: object) =>
      writeFileSync(path.join(runs, 'run', 'run.json'), JSON.stringify({ ...live, startedAt, ...record }));
    write({ machine: 'another/1', pid: process.pid, process: '1' });
    await answersOf(runs);
    expect(existsSync(indexOf(runs))).toBe(false);
    write({ machine: machineIdentity(), pid: process.pid, process: processIdentity(process.pid) });
    const page = pageFeature(runs);
    const listener = page.follow('run', {
      disk: { notRecordingSince: null },
      totals: { lastStep: 0, lastLoss: null },
    });
    listener.step?.({} as never, {} as never);
    await page.close?.();
    expect(statesOf(runs).length).toBeGreaterThan(0);
    expect((await answersOf(runs)).experts).toEqual(experts);
  });
});

it('is not made of a short run', async () => {
  const runs = temporaryRuns();
  const folder = writeRun(runs, 'run');
  appendFileSync(
    path.join(folder, 'metrics.ndjson'),
    `${JSON.stringify(stepRecord(1, { time: STARTED_AT }))}\n`,
  );
  await answersOf(runs);
  expect(existsSync(indexOf(runs))).toBe(false);
});

it('tells how far long metrics have been read, and what of them', { timeout: 240_000 }, async () => {
  const folder = writeRun(temporaryRuns(), 'run');
  const metrics = path.join(folder, 'metrics.ndjson');
  const padding = new Array<number>(150_000).fill(12_345);
  const line = `${JSON.stringify({ ...stepRecord(1, { time: STARTED_AT }), padding })}\n`;
  for (let step = 0; step < 100; step++) appendFileSync(metrics, line);
  const table = new MetricsTable({
    path: metrics,
    indexDirectory: path.join(folder, 'metrics-index'),
    startedAt: STARTED_AT,
    keepsIndex: () => ({ isMine: false, isOver: true }),
    patienceMs: 1,
  });
  const replies: MetricsReply[] = [];
  const deadline = performance.now() + DEADLINE_MS;
  do replies.push(await table.metrics({ layer: 'all', maxPoints: 1 }));
  while (replies.at(-1)?.reading !== null && performance.now() < deadline);
  const partial = replies.flatMap(({ reading, numRows }) =>
    reading === null ? [] : [{ ...reading, numRows }],
  );
  expect(partial.length).toBeGreaterThan(0);
  for (const { bytes, ofBytes, numRows } of partial) {
    expect(bytes).toBeLessThan(ofBytes);
    expect(numRows).toBeLessThan(100);
  }
  expect(replies.at(-1)?.numRows).toBe(100);
});
