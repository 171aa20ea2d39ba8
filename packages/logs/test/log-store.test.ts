import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LogStore } from '../src/log-store.js';

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

  it('keeps a file of lines for each source', () => {
    store.append('node-0', 'one');
    store.append('coordinator', 'two');
    store.append('node-0', 'three');
    const content = (source: string) => readFileSync(path.join(directory, `${source}.ndjson`), 'utf8');
    expect(content('node-0')).toBe('one\nthree\n');
    expect(content('coordinator')).toBe('two\n');
  });

  it('takes several lines at once, or none', () => {
    const seen: string[][] = [];
    store.onAppend((...line) => seen.push(line));
    store.appendAll('node-0', ['one', 'two']);
    store.appendAll('node-0', []);
    store.append('node-0', 'three');
    expect(readFileSync(path.join(directory, 'node-0.ndjson'), 'utf8')).toBe('one\ntwo\nthree\n');
    expect(seen).toEqual(['one', 'two', 'three'].map((line) => [line, 'node-0']));
  });

  it('ends a line that a kill cut short before it goes on', () => {
    appendFileSync(path.join(directory, 'node-0.ndjson'), 'whole\ntor');
    store.append('node-0', 'next');
    expect(readFileSync(path.join(directory, 'node-0.ndjson'), 'utf8')).toBe('whole\ntor\nnext\n');
  });

  it('says once that it cannot write, and still calls its listeners', () => {
    const seen: string[] = [];
    store.onAppend((text) => seen.push(text));
    // A folder takes the name of the file, so that writing fails.
    mkdirSync(path.join(directory, 'a.ndjson'));
    store.append('a', 'one');
    store.append('a', 'two');
    expect(broken).toHaveLength(1);
    expect(seen).toEqual(['one', 'two']);
  });

  it('drops a line for which the disk is full, and keeps the next that fits', () => {
    symlinkSync('/dev/full', path.join(directory, 'full.ndjson'));
    for (const source of ['full', 'node-0', 'full']) store.append(source, 'line');
    expect(broken).toMatchObject([{ code: 'ENOSPC' }, { code: 'ENOSPC' }]);
    expect(readFileSync(path.join(directory, 'node-0.ndjson'), 'utf8')).toBe('line\n');
  });

  it('calls a listener for every new line until it is removed', () => {
    const seen: string[] = [];
    const remove = store.onAppend((text) => seen.push(text));
    store.append('a', 'one');
    remove();
    store.append('a', 'two');
    expect(seen).toEqual(['one']);
  });
});
