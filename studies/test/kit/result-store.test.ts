import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { ResultStore } from '../../kit/parts.js';
import { temporaryFolder } from '../support.js';

it('gives back what was kept for the same key, also to a later process', () => {
  const results = path.join(temporaryFolder(), 'results');
  new ResultStore(results).put('run', { steps: 10 }, { ms: 5 });
  const store = new ResultStore(results);
  expect(store.get('run', { steps: 10 })).toEqual({ ms: 5 });
  expect(store.get('run', { steps: 11 })).toBeNull();
  expect(store.get('other', { steps: 10 })).toBeNull();
});

it('names a stored part that is damaged', () => {
  const folder = temporaryFolder();
  const store = new ResultStore(folder);
  store.put('run', 1, { ms: 5 });
  writeFileSync(path.join(folder, 'run.json'), '{"key":');
  expect(() => store.get('run', 1)).toThrow(
    `${path.join(folder, 'run.json')}: no JSON; delete it, and its run is made again`,
  );
});
