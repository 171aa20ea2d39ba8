import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { runSchema } from '../../../src/config/schema.js';
import {
  findRun,
  generationsOf,
  listRuns,
  MetricsReader,
  numStepsOf,
  RunFolder,
  readFlight,
  readJournal,
  readManifest,
  readRecords,
  readTrace,
  reportFlight,
  runOf,
  timelineOf,
  tracedSteps,
} from '../src/index.js';
import { journalEvent } from '../src/journal-events.js';
import { metricsRecord } from '../src/metrics-record.js';

/**
 * A run as release 0.1.0 wrote it: 30 steps of a tiny model on one node with two workers, of which one was killed in
 * step 11 and, after the restart, in step 16. Its flight file and trace are shortened, and paths are made relative.
 */
const RELEASED = fileURLToPath(new URL('fixtures/run-0.1.0', import.meta.url));
const CHECKPOINT = 'checkpoints/step-000010';

/** A copy of the run in a folder of runs, with some changed text in one of its files. */
function changed(
  file: string,
  before: string,
  after: string,
): { readonly runs: string; readonly run: string } {
  const runs = mkdtempSync(path.join(tmpdir(), 'locmoe-release-'));
  onTestFinished(() => rmSync(runs, { recursive: true }));
  const run = path.join(runs, 'released');
  cpSync(RELEASED, run, { recursive: true });
  const bytes = readFileSync(path.join(run, file), 'latin1');
  expect(bytes).toContain(before);
  writeFileSync(path.join(run, file), bytes.replace(before, after), 'latin1');
  return { runs, run };
}

it('every file of a run of the last release is read', async () => {
  const { folder, record } = findRun('', RELEASED);
  expect(record).toMatchObject({ runId: 'release-20261129-043918', state: 'failed', version: '0.1.0' });
  const config = folder.readConfig(runSchema)!;
  expect([config.moe.router, numStepsOf(config)]).toEqual(['locmoe', 30]);

  const records = readRecords(folder.metrics);
  expect(records).toHaveLength(readFileSync(folder.metrics, 'utf8').trim().split('\n').length);
  for (const each of records) expect(metricsRecord.parse(each)).toEqual(each);
  expect(new Set(records.map(({ type }) => type))).toEqual(
    new Set(['generation', 'step', 'validation', 'checkpoint', 'heartbeat']),
  );
  const grown: unknown[] = [];
  await new MetricsReader(folder.metrics, { begin: () => 0, add: (each) => grown.push(each) }).update();
  expect(grown).toEqual(records);

  const journal = readJournal(folder.journal);
  for (const each of journal)
    expect(journalEvent.and(z.object({ time: z.number() })).parse(each)).toEqual(each);
  expect(generationsOf(journal)).toMatchObject([
    { generation: 1, from: { kind: 'nothing' }, end: 'restarted', failure: { code: 'WORKER_DIED', rank: 1 } },
    { generation: 2, from: { kind: 'checkpoint', step: 5 }, end: 'failed', recovery: { lostSteps: 6 } },
  ]);

  const failure = JSON.parse(readFileSync(path.join(RELEASED, 'failure.json'), 'utf8'));
  expect(folder.readFailure()).toEqual(failure);
  expect(folder.failures().map(({ generation, code }) => [generation, code])).toEqual([
    [2, 'WORKER_DIED'],
    [1, 'WORKER_DIED'],
  ]);

  const flight = readFlight({ place: RELEASED, runsDir: '', generation: undefined });
  expect(reportFlight(flight)).toMatchObject({
    generation: 2,
    worldSize: 2,
    oddRanks: [1],
    missingNodes: [],
  });

  const [traced] = tracedSteps(folder.trace);
  expect(traced).toMatchObject({ generation: 2, first: 6 });
  const { lanes } = timelineOf(readTrace(folder.trace, { from: traced.first, to: traced.complete }));
  expect(lanes.map(({ rank }) => rank)).toEqual([0, 1]);
  expect(lanes[0].spans.map(({ name }) => name)).toContain('forward');

  const manifest = readManifest(path.join(RELEASED, CHECKPOINT), runSchema);
  expect(manifest).toMatchObject({ step: 10, generation: 2, config });
  // The folder has no other files that would need a reader.
  expect(readdirSync(RELEASED).sort()).toEqual([
    'checkpoints',
    'config.json',
    'failure-1.json',
    'failure.json',
    'flight',
    'journal.ndjson',
    'metrics.ndjson',
    'run.json',
    'trace',
  ]);
});

it('what is written today says its version', () => {
  const { folder, record } = findRun('', changed('run.json', '"failed"', '"finished"').run);
  folder.writeRecord(record);
  expect(JSON.parse(readFileSync(path.join(folder.directory, 'run.json'), 'utf8'))).toMatchObject({
    formatVersion: 1,
  });
});

it('a run of a later version is refused in one line, and does not hide the others', () => {
  const { runs, run } = changed('run.json', '"version": "0.1.0"', '"version": "0.9.0", "formatVersion": 2');
  const refusal = `${run}/run.json: has version 2; this locmoe reads version 1: use locmoe 0.9.0, which wrote it`;
  for (const read of [() => findRun(runs, run), () => findRun(runs), () => runOf(runs, 'released')])
    expect(read).toThrow(expect.objectContaining({ code: 'BAD_INPUT', message: refusal }));
  expect(listRuns(runs)).toEqual([]);
  cpSync(RELEASED, path.join(runs, 'earlier'), { recursive: true });
  expect(findRun(runs).folder.runId).toBe('earlier');
});

const FLIGHT = 'flight/generation-2-node-0.json';
const TRACE = 'trace/generation-2-node-0-step-6.trace';

it.each([
  [FLIGHT, (run: string) => readFlight({ place: run, runsDir: '', generation: undefined })],
  [TRACE, (run: string) => tracedSteps(new RunFolder(run).trace)],
])('%s of a later version is refused in one line', (file, read) => {
  const { run } = changed(file, '"version":1', '"version":2');
  expect(() => read(run)).toThrow(
    `${run}/${file}: has version 2; this locmoe reads version 1: use the locmoe that wrote it`,
  );
});
