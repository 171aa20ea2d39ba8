import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { FaultyLink } from '../../src/agent/faulty-link.js';

let link: FaultyLink;
let passed: string[];
const pass = (name: string, bytes = 100) => link.pass(bytes, () => passed.push(name));

beforeEach(() => {
  vi.useFakeTimers();
  link = new FaultyLink();
  passed = [];
});
afterEach(() => {
  link.close();
  vi.useRealTimers();
});

it('passes all on at once without a fault', () => {
  pass('a');
  expect(passed).toEqual(['a']);
});

it('holds all back while it is cut, then passes it on in order, before what comes later', () => {
  link.inflict({ seconds: 2, bytesPerS: 0 });
  pass('a');
  pass('b', 0);
  vi.advanceTimersByTime(1_999);
  expect(passed).toEqual([]);
  vi.advanceTimersByTime(1);
  pass('c');
  expect(passed).toEqual(['a', 'b', 'c']);
});

it('passes so many bytes a second while it is slow', () => {
  link.inflict({ seconds: 10, bytesPerS: 1000 });
  for (const name of ['a', 'b', 'c']) pass(name, 500);
  expect(passed).toEqual([]);
  vi.advanceTimersByTime(500);
  expect(passed).toEqual(['a']);
  vi.advanceTimersByTime(1_000);
  expect(passed).toEqual(['a', 'b', 'c']);
  // The idle time since does not count as credit.
  vi.advanceTimersByTime(5_000);
  pass('d', 1000);
  vi.advanceTimersByTime(999);
  expect(passed).toHaveLength(3);
  vi.advanceTimersByTime(1);
  expect(passed).toHaveLength(4);
});

it('is whole again when a slow time ends, whatever is on the way', () => {
  link.inflict({ seconds: 1, bytesPerS: 1 });
  pass('a', 1_000_000);
  vi.advanceTimersByTime(1_000);
  expect(passed).toEqual(['a']);
});
