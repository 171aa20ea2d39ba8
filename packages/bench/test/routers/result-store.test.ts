import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { ResultStore } from '../../src/routers/result-store.js';

it('gives back what was kept for the same key, also to a later process', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-results-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const results = path.join(folder, 'results');
  new ResultStore(results).put('run', { steps: 10 }, { ms: 5 });
  const store = new ResultStore(results);
  expect(store.get('run', { steps: 10 })).toEqual({ ms: 5 });
  expect(store.get('run', { steps: 11 })).toBeNull();
  expect(store.get('other', { steps: 10 })).toBeNull();
});
