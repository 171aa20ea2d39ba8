import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Journal, type JournalEvent, readJournal } from '../src/index.js';

const EVENTS: readonly JournalEvent[] = [
  { type: 'lead', term: 1, pid: 12, host: 'here' },
  { type: 'generation', generation: 1, from: { kind: 'nothing', step: 0 }, nodes: 2, workersPerNode: 2 },
  { type: 'running', generation: 1 },
];

function written(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-journal-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const file = path.join(folder, 'journal.ndjson');
  const journal = new Journal(file);
  for (const event of EVENTS) journal.append(event);
  journal.close();
  return file;
}

describe('a journal', () => {
  it('is read as it was written', () => {
    const entries = readJournal(written());
    expect(entries).toEqual(EVENTS.map((event) => ({ ...event, time: expect.closeTo(Date.now(), -4) })));
    expect(readJournal('/nowhere/journal.ndjson')).toEqual([]);
  });

  it('cut at any byte keeps the whole lines before, and goes on after them', () => {
    const file = written();
    const bytes = readFileSync(file);
    for (let length = 0; length < bytes.length; length++) {
      writeFileSync(file, bytes.subarray(0, length));
      const whole = bytes.subarray(0, length).toString().split('\n').length - 1;
      const journal = new Journal(file);
      journal.append({ type: 'running', generation: 9 });
      journal.close();
      expect(readJournal(file).map(({ type }) => type)).toEqual([
        ...EVENTS.slice(0, whole).map(({ type }) => type),
        'running',
      ]);
    }
  });

  it('ends before a line in which a bit was changed', () => {
    const file = written();
    const bytes = readFileSync(file);
    const second = bytes.indexOf('\n') + 20;
    bytes[second] ^= 1;
    writeFileSync(file, bytes);
    expect(readJournal(file)).toHaveLength(1);
  });
});
