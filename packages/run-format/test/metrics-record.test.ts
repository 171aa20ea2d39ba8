import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { lastRecords, MetricsReader, parseRecord, readRecords, recordsFromEnd } from '../src/index.js';
import { globalLayer, globalStep } from './global-step.js';

const step = (number: number) => ({ time: number, ...globalStep(number), type: 'step' }) as const;

function fileOf(text: string): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-metrics-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, 'metrics.ndjson');
  writeFileSync(file, text);
  return file;
}

it('knows a record in whatever order its keys are', () => {
  expect(parseRecord(JSON.stringify(step(3)), 'x', 0)).toEqual(step(3));
});

it.each(['', 'null', '7', '[]', '{"type":"step"', '{"type":"toString","time":1}'])(
  'takes no record from %j',
  (line) => {
    expect(parseRecord(line, 'x', 0)).toBeNull();
  },
);

it('has no time for a record of a version that wrote none', () => {
  const { time, ...old } = step(3);
  expect(time).toBe(3);
  expect(parseRecord(JSON.stringify(old), 'x', 0)?.time).toBeNaN();
});

it.each([
  ['a field that is missing', { stepMs: undefined }, 'stepMs'],
  ['text in place of a number', { loss: '2' }, 'loss'],
  ['an unknown part', { partsMs: { lunch: 1 } }, 'partsMs.forward'],
  ['half a choice', { layers: [{ ...globalLayer(1), kept: [1, 0.5] }] }, 'layers.0.kept'],
  ['less than no choice', { layers: [{ ...globalLayer(1), routed: [-1] }] }, 'layers.0.routed'],
  ['no number of an expert', { layers: [{ ...globalLayer(1), capacity: [null] }] }, 'layers.0.capacity'],
  ['no measure', { layers: [{ ...globalLayer(1), gateCosine: undefined }] }, 'layers.0.gateCosine'],
])('says in which line there is %s, however the file is read', async (_, change, field) => {
  const lines = ['{"type":"st', JSON.stringify(step(1)), JSON.stringify({ ...step(2), ...change }), ''];
  const file = fileOf(lines.join('\n'));
  const message = `${file}, line 3: a record of type step with an invalid ${field} (`;
  expect(() => readRecords(file)).toThrow(message);
  expect(() => lastRecords(file)).toThrow(message);
  expect(() => [...recordsFromEnd(file)]).toThrow(message);
  const added: unknown[] = [];
  const reader = new MetricsReader(file, { begin: () => 0, add: (each) => added.push(each) });
  await expect(reader.update()).rejects.toThrow(message);
  await expect(reader.update()).rejects.toThrow(/; correct the line or remove it$/);
  expect(added).toEqual([]);
});

it('reads past what is cut, from the start or from the end of a long file', () => {
  const lines = Array.from({ length: 2_000 }, (_, index) => JSON.stringify(step(index + 1)));
  const file = fileOf(`${lines.join('\n')}\n{"type":"st`);
  expect(readRecords(file)).toHaveLength(2_000);
  const last = lastRecords(file);
  expect(last.at(-1)).toEqual(step(2_000));
  expect(last.length).toBeLessThan(2_000);
});

it.each([1, 2, 3, 100, 1 << 20])(
  'has the same records from the end, with places, past lines of %i bytes',
  (length) => {
    const lines = Array.from({ length: 40 }, (_, index) => JSON.stringify(step(index + 1)));
    const noise = ['x'.repeat(length), '', 'é'.repeat(length >> 1)];
    const file = fileOf(
      [noise[0], ...lines.slice(0, 20), ...noise, ...lines.slice(20), '{"type":"st'].join('\n'),
    );
    const text = readFileSync(file);
    const fromEnd = [...recordsFromEnd(file)];
    expect(fromEnd.map(({ record }) => record).reverse()).toEqual(readRecords(file));
    for (const { record, begin, end } of fromEnd)
      expect(JSON.parse(text.toString('utf8', begin, end))).toEqual(record);
  },
);

it('goes on from where the sink begins, which may take a while in which nothing is known to be left', async () => {
  const lines = [1, 2, 3].map((number) => `${JSON.stringify(step(number))}\n`);
  const file = fileOf(lines.join(''));
  const added: unknown[] = [];
  let whileBegun: unknown;
  const reader: MetricsReader = new MetricsReader(file, {
    begin: () => {
      whileBegun = reader.progress;
      return lines[0].length;
    },
    add: (record, offset) => added.push([record, offset]),
  });
  await reader.update();
  expect(whileBegun).toEqual({ bytes: 0, ofBytes: 0 });
  expect(added).toEqual([
    [step(2), lines[0].length],
    [step(3), lines[0].length + lines[1].length],
  ]);
  expect(reader.progress).toEqual({ bytes: lines.join('').length, ofBytes: lines.join('').length });
});

it('has no records of a run without the file', () => {
  expect(readRecords('/nowhere/metrics.ndjson')).toEqual([]);
  expect(lastRecords('/nowhere/metrics.ndjson')).toEqual([]);
  expect([...recordsFromEnd('/nowhere/metrics.ndjson')]).toEqual([]);
});

it.each([
  ['a folder', (file: string) => mkdirSync(file)],
  ['a pipe, without waiting for it', (file: string) => execFileSync('mkfifo', [file])],
])('refuses with one line %s in place of the file', async (_, make) => {
  const file = fileOf('');
  rmSync(file, { recursive: true });
  make(file);
  const message = `${file}: is no regular file`;
  expect(() => readRecords(file)).toThrow(message);
  expect(() => lastRecords(file)).toThrow(message);
  const reader = new MetricsReader(file, { begin: () => 0, add: () => undefined });
  await expect(reader.update()).rejects.toThrow(message);
});
