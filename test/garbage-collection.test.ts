import { execFileSync } from 'node:child_process';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { collectNow } from '../src/garbage-collection.js';

const PROGRAM = fileURLToPath(new URL('marking.program.ts', import.meta.url));

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

it('ends a concurrent marking before it turns that off: V8 would crash now and then', () => {
  const options = ['--conditions=source', '--import', 'tsx', '--trace-gc', '--trace-incremental-marking'];
  const trace = execFileSync(process.execPath, [...options, PROGRAM, '300000'], { encoding: 'utf8' });
  expect(trace).toContain('[IncrementalMarking] Start');
  // "testing" is the reason of a collection that a program asks for.
  const last = trace.trimEnd().split('\n').at(-1);
  expect(last).toMatch(/Mark-Compact .*testing/);
});
