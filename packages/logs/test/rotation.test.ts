import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { LogStore } from '../src/log-store.js';
import { LogEngine } from '../src/logql/log-engine.js';
import { type LogRequest, RunLogReader } from '../src/run-log-reader.js';
import { NO_SMALL_DISK, smallDisk } from './small-disk.js';
import { logLine, messages, TestRuns } from './support.js';

const RUN = '{run="r1"}';
const ALL: LogRequest = { query: '', level: '', ranks: [], sinceMs: 0, before: 0, after: 0, follow: false };

function storeAt(directory: string, maxBytes: number): LogStore {
  return new LogStore(
    directory,
    (error) => {
      throw error;
    },
    maxBytes,
  );
}

/** A run whose files are written by a store with a maximum size. */
function rotating(maxBytes: number) {
  const runs = new TestRuns();
  runs.write('node-0', []);
  const { directory } = runs.folder('r1');
  return { runs, directory, store: storeAt(directory, maxBytes), files: () => readdirSync(directory).sort() };
}

/** Numbered lines, of which many have the same time. */
const lineOf = (number: number) => logLine({ atMs: Math.floor(number / 50), node: 0, msg: String(number) });
const numbers = (first: number, end: number) =>
  Array.from({ length: end - first }, (_, i) => String(first + i));

it('keeps the file that is written and the one before it', async () => {
  const { runs, store, files } = rotating(1_000);
  const perFile = Math.ceil(1_000 / (lineOf(10).length + 1));
  for (let number = 10; number < 10 + 4 * perFile; number++) store.append('node-0', lineOf(number));
  expect(files()).toEqual(['node-0.2.ndjson', 'node-0.3.ndjson']);
  const kept = numbers(10 + 2 * perFile, 10 + 4 * perFile);
  expect(await messages(new LogEngine(runs.catalog), RUN)).toEqual(kept);
  expect(await messages(new LogEngine(runs.catalog), RUN, { direction: 'backward' })).toEqual(
    kept.toReversed(),
  );
});

it('has the same labels, and one order, on both sides', async () => {
  const { runs, store } = rotating(1_000);
  for (let number = 0; number < 15; number++) store.append('node-0', lineOf(number));
  const engine = new LogEngine(runs.catalog);
  expect(await messages(engine, `${RUN.slice(0, -1)}, source="node", node="0"}`)).toEqual(numbers(0, 15));
  const shown: string[] = [];
  await new RunLogReader(runs.folder('r1')).read(
    { ...ALL, query: '|= "\\"msg\\":\\"8\\""', before: 3, after: 3 },
    {
      async lines(lines) {
        shown.push(...lines.map(({ text }) => JSON.parse(text).msg));
      },
      series: () => undefined,
    },
    { signal: new AbortController().signal, complete: Promise.resolve() },
  );
  expect(shown).toEqual(numbers(5, 12));
});

it('goes on with the last file after a restart', () => {
  const { directory, store, files } = rotating(1_000);
  for (let number = 0; number < 15; number++) store.append('node-0', lineOf(number));
  store.close();
  expect(files()).toEqual(['node-0.1.ndjson', 'node-0.ndjson']);
  const next = storeAt(directory, 1);
  next.append('node-0', 'a line');
  expect(files()).toEqual(['node-0.1.ndjson', 'node-0.2.ndjson']);
});

it('never divides a line that is longer than a file may be', async () => {
  const { runs, store, files } = rotating(100);
  const long = 'x'.repeat(5_000);
  store.append('node-0', logLine({ msg: long }));
  store.append('node-0', logLine({ atMs: 1, msg: 'next' }));
  expect(files()).toEqual(['node-0.1.ndjson', 'node-0.ndjson']);
  expect(await messages(new LogEngine(runs.catalog), RUN)).toEqual([long, 'next']);
});

it('makes room on a full disk', async (context) => {
  const disk = smallDisk(256 << 10);
  if (disk === null) return context.skip(NO_SMALL_DISK);
  const lost: unknown[] = [];
  const store = new LogStore(disk, (error) => lost.push(error), 40 << 10);
  const line = logLine({ msg: 'x'.repeat(1_000) });
  for (let i = 0; i < 90; i++) store.append('node-0', line);
  expect(lost).toEqual([]);
  writeFileSync(path.join(disk, 'other'), Buffer.alloc(150 << 10));
  for (let i = 0; i < 300; i++) store.append('node-0', line);
  // Beside what else fills the disk, both files fit only once older lines are gone.
  expect(lost).toEqual([]);
  expect(readdirSync(disk)).toHaveLength(3);
});

it('loses and doubles no line for a follower in another process than the writer', async () => {
  const runs = new TestRuns();
  const { directory } = runs.folder('r1');
  mkdirSync(directory, { recursive: true });
  const [numLines, perBatch] = [6_000, 500];
  const writer = fork(fileURLToPath(new URL('rotating-writer.program.ts', import.meta.url)), {
    execArgv: ['--import', 'tsx', '--conditions=source'],
    env: {
      ...process.env,
      DIRECTORY: directory,
      NUM_LINES: String(numLines),
      PER_BATCH: String(perBatch),
    },
  });
  const seen: string[] = [];
  const exited = once(writer, 'exit');
  await new RunLogReader({ ...runs.folder('r1') }).read(
    { ...ALL, follow: true },
    {
      async lines(lines) {
        const batches = Math.floor(seen.length / perBatch);
        seen.push(...lines.map(({ text }) => JSON.parse(text).msg));
        if (Math.floor(seen.length / perBatch) > batches && writer.connected) writer.send('more');
      },
      series: () => undefined,
    },
    { signal: new AbortController().signal, complete: exited.then(() => undefined) },
  );
  expect(await exited).toEqual([0, null]);
  expect(readdirSync(directory)[0]).toMatch(/^node-0\.\d+\.ndjson$/);
  expect(seen).toEqual(numbers(0, numLines));
});
