import { appendFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { ResultStore } from '../../src/routers/result-store.js';

function temporaryFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-results-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

it('gives back what was kept for the same key, also to a later process', () => {
  const results = path.join(temporaryFolder(), 'results');
  new ResultStore(results).put('run', { steps: 10 }, { ms: 5 });
  const store = new ResultStore(results);
  expect(store.get('run', { steps: 10 })).toEqual({ ms: 5 });
  expect(store.get('run', { steps: 11 })).toBeNull();
  expect(store.get('other', { steps: 10 })).toBeNull();
});

it('gives back what was published elsewhere, after what is here', () => {
  const folder = temporaryFolder();
  const published = path.join(folder, 'published.jsonl');
  const elsewhere = new ResultStore(path.join(folder, 'elsewhere'));
  elsewhere.put('first', { steps: 10 }, { ms: 5 });
  elsewhere.put('second', { steps: 10 }, { ms: 6 });
  elsewhere.put('unnamed', { steps: 10 }, { ms: 7 });
  const parts = ['first', 'second', 'missing'].map((name) => ({ name, key: { steps: 10 } }));
  elsewhere.publish(published, parts);

  const here = path.join(folder, 'here');
  new ResultStore(here).put('second', { steps: 10 }, { ms: 8 });
  new ResultStore(here).put('first', { steps: 20 }, { ms: 9 });
  const store = new ResultStore(here, published);
  expect(store.get('first', { steps: 10 })).toEqual({ ms: 5 });
  expect(store.get('first', { steps: 11 })).toBeNull();
  expect(store.get('second', { steps: 10 })).toEqual({ ms: 8 });
  expect(store.get('unnamed', { steps: 10 })).toBeNull();
  // What was published stays so in the next report, whatever that has.
  store.publish(published, []);
  store.publish(published, parts);
  expect(new ResultStore(path.join(folder, 'third'), published).get('first', { steps: 10 })).toEqual({
    ms: 5,
  });
});

it('publishes no file without parts, and names the line of one that is damaged', () => {
  const folder = temporaryFolder();
  const published = path.join(folder, 'published.jsonl');
  const store = new ResultStore(path.join(folder, 'results'));
  store.publish(published, [{ name: 'missing', key: 1 }]);
  expect(existsSync(published)).toBe(false);
  store.put('run', 1, { ms: 5 });
  store.publish(published, [{ name: 'run', key: 1 }]);
  appendFileSync(published, '<<<<<<< HEAD\n');
  expect(() => new ResultStore(folder, published)).toThrow(
    `${published}:2: no JSON; delete the line, and its run is made again`,
  );
});

it('takes a published file without lines, and names a stored part that is damaged', () => {
  const folder = temporaryFolder();
  const published = path.join(folder, 'published.jsonl');
  writeFileSync(published, '\n');
  const store = new ResultStore(folder, published);
  store.put('run', 1, { ms: 5 });
  writeFileSync(path.join(folder, 'run.json'), '{"key":');
  expect(() => store.get('run', 1)).toThrow(
    `${path.join(folder, 'run.json')}: no JSON; delete it, and its run is made again`,
  );
});
