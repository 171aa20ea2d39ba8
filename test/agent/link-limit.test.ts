import { expect, it, vi } from 'vitest';
import { LinkLimit } from '../../src/agent/link-limit.js';

it('delivers at the rate and latency of the link, in order', () => {
  vi.useFakeTimers();
  // 0.8 Gb/s is 100,000 bytes a millisecond.
  const limit = new LinkLimit({ gbps: 0.8, latencyMs: 5 });
  const delivered: [string, number][] = [];
  const start = performance.now();
  const pass = (name: string, bytes: number) =>
    limit.pass(bytes, () => delivered.push([name, performance.now() - start]));
  pass('a', 200_000);
  pass('b', 100_000);
  vi.advanceTimersByTime(20);
  // The link was idle from 3 ms on: the next message starts at once, but the idle time earns no credit.
  pass('c', 100_000);
  vi.advanceTimersByTime(10);
  pass('d', 0);
  vi.runAllTimers();
  expect(delivered).toEqual([
    ['a', 7],
    ['b', 8],
    ['c', 26],
    ['d', 35],
  ]);
  vi.useRealTimers();
});
