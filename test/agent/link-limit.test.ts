import { expect, it } from 'vitest';
import { LinkLimit } from '../../src/agent/link-limit.js';

it('delivers at the rate and latency of the link, in order', () => {
  let now = 100;
  // 0.8 Gb/s is 100,000 bytes a millisecond.
  const limit = new LinkLimit<string>({ gbps: 0.8, latencyMs: 5 }, () => now);
  expect(limit.dueInMs).toBe(Number.POSITIVE_INFINITY);
  limit.push('a', 200_000);
  limit.push('b', 100_000);
  expect(limit.dueInMs).toBe(7);
  now = 106.9;
  expect(limit.takeDue()).toEqual([]);
  now = 107;
  expect(limit.takeDue()).toEqual(['a']);
  expect(limit.dueInMs).toBe(1);
  // The link was idle from 103 on: the next item starts at once, and saves up nothing.
  now = 120;
  limit.push('c', 100_000);
  expect(limit.takeDue()).toEqual(['b']);
  expect(limit.dueInMs).toBe(6);
  now = 200;
  limit.push('d', 0);
  expect(limit.takeDue()).toEqual(['c']);
  now = 205;
  expect(limit.takeDue()).toEqual(['d']);
});
