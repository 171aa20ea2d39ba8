import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LogStore, matches, parseLogLine, readLogs } from '../../src/observability/log-store.js';

const line = (time: number, level: string, rank?: number) =>
  JSON.stringify({ time, level, msg: `m${time}`, rank });
const ALL = { level: 'trace', ranks: [], sinceMs: 0 } as const;

describe('LogStore', () => {
  let directory: string;
  let store: LogStore;
  let broken: unknown[];

  beforeEach(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'locmoe-logs-'));
    broken = [];
    store = new LogStore(directory, (error) => broken.push(error));
  });

  afterEach(() => {
    store.close();
    rmSync(directory, { recursive: true });
  });

  it('gives the lines of all sources in order of time', () => {
    store.append('node-0', line(3, 'info', 0));
    store.append('node-1', line(1, 'warn', 2));
    store.append('coordinator', line(2, 'error'));
    expect(readLogs(directory, ALL).map(({ msg }) => msg)).toEqual(['m1', 'm2', 'm3']);
  });

  it.each([
    [{ level: 'warn' }, ['m1', 'm2']],
    [{ ranks: [0, 5] }, ['m3']],
    [{ sinceMs: 2 }, ['m2', 'm3']],
  ] as const)('filters by %j', (filter, expected) => {
    store.append('node-0', line(3, 'info', 0));
    store.append('node-1', line(1, 'warn', 2));
    store.append('coordinator', line(2, 'error'));
    expect(readLogs(directory, { ...ALL, ...filter }).map(({ msg }) => msg)).toEqual(expected);
  });

  it('says once that it cannot write, and goes on serving its followers', () => {
    const seen: string[] = [];
    store.follow((text) => seen.push(text));
    // A folder stands where the file would.
    mkdirSync(path.join(directory, 'a.ndjson'));
    store.append('a', 'one');
    store.append('a', 'two');
    expect(broken).toHaveLength(1);
    expect(seen).toEqual(['one', 'two']);
  });

  it('hands every new line to its followers until they leave', () => {
    const seen: string[] = [];
    const leave = store.follow((text) => seen.push(text));
    store.append('a', 'one');
    leave();
    store.append('a', 'two');
    expect(seen).toEqual(['one']);
  });
});

describe('parseLogLine', () => {
  it('keeps what is not a log line as a warning', () => {
    expect(parseLogLine('free(): invalid pointer')).toMatchObject({
      level: 'warn',
      msg: 'free(): invalid pointer',
    });
    expect(parseLogLine('{"a":1}')).toMatchObject({ level: 'warn', msg: '{"a":1}' });
  });

  it('a record without a rank is none of a rank', () => {
    expect(matches(parseLogLine(line(1, 'info')), { ...ALL, ranks: [0] })).toBe(false);
  });
});
