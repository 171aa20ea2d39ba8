import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { collectNow } from '../src/garbage-collection.js';

it('frees what nothing refers to', async () => {
  const kept = { text: 'kept' };
  const seen = [new WeakRef(kept), new WeakRef({ text: 'dropped' })];
  await nextTurn();
  expect(seen.every((each) => each.deref() !== undefined)).toBe(true);
  await nextTurn();
  collectNow();
  expect(seen.map((each) => each.deref()?.text)).toEqual(['kept', undefined]);
  expect(kept.text).toBe('kept');
});
