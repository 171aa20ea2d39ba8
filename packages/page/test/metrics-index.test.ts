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
import type { ExpertsReply, MetricsReply } from '../src/api-types.js';
import { MetricsTable } from '../src/metrics-table.js';
import { pageFeature } from '../src/page-feature.js';
import { STARTED_AT, stepRecord, temporaryRuns, writeRun } from './run-fixture.js';
import { appendSteps, SMALL_RUN, type SyntheticRun, writeSyntheticRun } from './synthetic-run.js';

const STEPS = 200;
/** A run that is just long enough for an index: 5 MB. */
const RUN: SyntheticRun = { ...SMALL_RUN, runId: 'run', paddingBytes: 24_000 };
/** A run of 22 MB, whose index is saved once before its end, so that it has two blocks. */
const LONG_RUN: SyntheticRun = { ...RUN, paddingBytes: 110_000 };
const LAYER = 3;

/** Answers of a new server about the run, once it has read everything. */
async function answersOf(runs: string) {
  const { routes } = pageFeature(runs);
  const json = async <T>(tail: string) =>
    (await (await routes.request(`http://localhost/api/runs/run/${tail}`)).json()) as T;
  let metrics = await json<MetricsReply>('metrics');
  while (metrics.reading !== null) metrics = await json<MetricsReply>('metrics');
  const ofLayer = await json<MetricsReply>(`metrics?layer=${LAYER}`);
  const experts = await json<ExpertsReply>('experts?layers=1,3');
  const answers = { metrics, ofLayer, experts, ranks: await json('ranks') };
  // A cursor depends on how often the server read the metrics from the start.
  const text = JSON.stringify(answers, (key, value) => (key === 'cursor' ? undefined : value));
  return JSON.parse(text) as typeof answers;
}

const indexOf = (runs: string) => path.join(runs, 'run', 'metrics-index');
const columnsOf = (runs: string) => path.join(indexOf(runs), 'columns');
const metricsOf = (runs: string) => path.join(runs, 'run', 'metrics.ndjson');
const statesOf = (runs: string) =>
  existsSync(indexOf(runs)) ? readdirSync(indexOf(runs)).filter((name) => name.startsWith('state')) : [];
/** The state file of the index of `RUN`, which has only one. */
const stateOf = (runs: string) => path.join(indexOf(runs), statesOf(runs)[0]!);

function copyOf(made: string): string {
  const runs = temporaryRuns();
  cpSync(path.join(made, 'run'), path.join(runs, 'run'), { recursive: true });
  return runs;
}

/** The answers of a server that finds no index. */
function withoutIndex(runs: string) {
  const bare = copyOf(runs);
  rmSync(indexOf(bare), { recursive: true, force: true });
  return answersOf(bare);
}

/** Overwrites a part of the metrics far from the ends of blocks, where bytes are verified. */
function blankMetrics(runs: string): void {
  const { size } = statSync(metricsOf(runs));
  const length = Math.round(0.2 * size);
  const file = openSync(metricsOf(runs), 'r+');
  writeSync(file, Buffer.alloc(length, ' '), 0, length, Math.round(0.05 * size));
  closeSync(file);
}

/** Changes a byte; a negative place counts from the end. */
function damage(file: string, at: number): void {
  const bytes = readFileSync(file);
  bytes[at < 0 ? bytes.length + at : at]! ^= 0xff;
  writeFileSync(file, bytes);
}

/** Writes a run that is kept after a test, as several tests copy it, and creates its index. */
async function make(run: SyntheticRun) {
  const runs = temporaryRuns((remove) => process.once('exit', remove));
  writeSyntheticRun(runs, run, { steps: STEPS });
  return { made: runs, first: await answersOf(runs) };
}

describe('an index beside the metrics', () => {
  let made: string;
  let first: Awaited<ReturnType<typeof answersOf>>;
  beforeAll(async () => {
    ({ made, first } = await make(RUN));
  });

  it('tells what the metrics tell, without reading them, and what has been recorded since', async () => {
    const runs = copyOf(made);
    blankMetrics(runs);
    expect(await answersOf(runs)).toEqual(first);
    expect((await withoutIndex(runs)).metrics.numRows).toBeLessThan(STEPS);
    expect(first.metrics.numRows).toBe(STEPS);
    expect(first.ofLayer.groups.routing.otherNode).toHaveLength(STEPS);
    expect(first.ofLayer.groups.routing.otherNode).not.toContain(null);

    const grown = copyOf(made);
    appendSteps(path.join(grown, 'run'), RUN, STEPS + 1, STEPS + 50);
    const answers = await answersOf(grown);
    expect(answers.metrics.lastStep).toBe(STEPS + 50);
    expect(answers).toEqual(await withoutIndex(grown));
  });

  it.each<[string, (runs: string) => void]>([
    ['columns are cut short', (runs) => truncateSync(columnsOf(runs), statSync(columnsOf(runs)).size >> 1)],
    ['columns are gone', (runs) => rmSync(columnsOf(runs))],
    ['a column of steps is damaged', (runs) => damage(columnsOf(runs), 5_000)],
    ['a column of a layer is damaged', (runs) => damage(columnsOf(runs), -10)],
    ['its state is damaged', (runs) => damage(stateOf(runs), 300)],
    ['its state is cut short', (runs) => truncateSync(stateOf(runs), 1_000)],
    ['its state is empty', (runs) => truncateSync(stateOf(runs), 0)],
  ])('is not believed if %s', async (_, change) => {
    const runs = copyOf(made);
    change(runs);
    expect(await answersOf(runs)).toEqual(first);
    // The rebuilt index gives the same answers.
    expect(await answersOf(runs)).toEqual(first);
  });

  it.each<[string, (runs: string) => void]>([
    ['the run has gone back to a step', (runs) => dropRecordsAfter(metricsOf(runs), 150)],
    ['the run has gone back to its beginning', (runs) => dropRecordsAfter(metricsOf(runs), 3)],
    [
      'the run has gone back, and then beyond where it was',
      (runs) => {
        dropRecordsAfter(metricsOf(runs), 100);
        appendSteps(path.join(runs, 'run'), { ...RUN, startedAt: RUN.startedAt + 1e6 }, 101, STEPS + 20);
      },
    ],
    [
      'it is of another run',
      (runs) => {
        rmSync(metricsOf(runs));
        appendSteps(path.join(runs, 'run'), { ...RUN, numLayers: 3, startedAt: STARTED_AT + 1 }, 1, STEPS);
      },
    ],
  ])('is not believed if %s', async (_, change) => {
    const runs = copyOf(made);
    change(runs);
    const expected = await withoutIndex(runs);
    expect(expected).not.toEqual(first);
    expect(await answersOf(runs)).toEqual(expected);
    expect(await answersOf(runs)).toEqual(expected);
  });

  it('is done without where none can be written', async () => {
    const runs = copyOf(made);
    rmSync(indexOf(runs), { recursive: true });
    writeFileSync(indexOf(runs), 'a file in its place');
    expect(await answersOf(runs)).toEqual(first);
  });

  it('knows where each step is recorded', async () => {
    const table = tableOf(path.join(made, 'run'));
    for (const step of [1, 100, STEPS]) {
      const record = await table.recordAt(step);
      expect([record?.step, record?.layers.length]).toEqual([step, RUN.numLayers]);
    }
    for (const step of [0, STEPS + 1]) expect(await table.recordAt(step)).toBeNull();
  });
});

describe('an index that is saved while the run goes on', () => {
  let long: Awaited<ReturnType<typeof make>>;
  beforeAll(async () => {
    long = await make(LONG_RUN);
  });

  it('goes on from an earlier state if the run went back a little', async () => {
    const runs = copyOf(long.made);
    expect(statesOf(runs).length).toBeGreaterThan(1);
    dropRecordsAfter(metricsOf(runs), 180);
    blankMetrics(runs);
    const { metrics } = await answersOf(runs);
    expect([metrics.firstStep, metrics.lastStep, metrics.numRows]).toEqual([1, 180, 180]);
  });

  it('is made by the process that leads the run, and by no other', async () => {
    const runs = copyOf(long.made);
    rmSync(indexOf(runs), { recursive: true });
    const file = path.join(runs, 'run', 'run.json');
    const record = JSON.parse(readFileSync(file, 'utf8'));
    const write = (more: object) => writeFileSync(file, JSON.stringify({ ...record, ...more }));
    const live = { state: 'running', pid: process.pid };
    write({ ...live, machine: 'another/1', process: '1' });
    await answersOf(runs);
    expect(existsSync(indexOf(runs))).toBe(false);
    write({ ...live, machine: machineIdentity(), process: processIdentity(process.pid) });
    const page = pageFeature(runs);
    const totals = { lastStep: 0, lastLoss: null };
    const listener = page.follow('run', { disk: { notRecordingSince: null }, totals });
    listener.step?.({} as never, {} as never);
    await page.close?.();
    expect(statesOf(runs).length).toBeGreaterThan(0);
    expect((await answersOf(runs)).experts).toEqual(long.first.experts);
  });
});

it('is not made of a short run', async () => {
  const runs = temporaryRuns();
  const step = JSON.stringify(stepRecord(1, { time: STARTED_AT }));
  appendFileSync(path.join(writeRun(runs, 'run'), 'metrics.ndjson'), `${step}\n`);
  await answersOf(runs);
  expect(existsSync(indexOf(runs))).toBe(false);
});

it('tells how far long metrics have been read, and what of them', async () => {
  const folder = writeRun(temporaryRuns(), 'run');
  const numSteps = 60;
  const record = { ...stepRecord(1, { time: STARTED_AT }), padding: ' '.repeat(1 << 20) };
  for (let step = 0; step < numSteps; step++)
    appendFileSync(path.join(folder, 'metrics.ndjson'), `${JSON.stringify(record)}\n`);
  const table = tableOf(folder, 1);
  const replies: MetricsReply[] = [];
  do replies.push(await table.metrics({ layer: 'all', maxPoints: 1 }));
  while (replies.at(-1)?.reading !== null);
  expect(replies.length).toBeGreaterThan(1);
  for (const { reading, numRows } of replies.slice(0, -1)) {
    expect(reading!.bytes).toBeLessThan(reading!.ofBytes);
    expect(numRows).toBeLessThan(numSteps);
  }
  expect(replies.at(-1)!.numRows).toBe(numSteps);
});

/** The metrics of a finished run whose index another process maintains. */
function tableOf(folder: string, patienceMs?: number): MetricsTable {
  return new MetricsTable({
    path: path.join(folder, 'metrics.ndjson'),
    indexDirectory: path.join(folder, 'metrics-index'),
    startedAt: STARTED_AT,
    keepsIndex: () => ({ isMine: false, isOver: true }),
    ...(patienceMs !== undefined && { patienceMs }),
  });
}
