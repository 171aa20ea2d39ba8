import { expect, it } from 'vitest';
import { HeartbeatAge } from '../../src/agent/heartbeat-age.js';

it('a worker is idle since its counter last moved', () => {
  let now = 0;
  const age = new HeartbeatAge(() => now);
  expect(age.idleMs(0, 5)).toBe(0);
  now = 300;
  expect(age.idleMs(0, 5)).toBe(300);
  expect(age.idleMs(1, 5)).toBe(0);
  now = 400;
  expect(age.idleMs(0, 6)).toBe(0);
  expect(age.idleMs(1, 5)).toBe(100);
});

it('a long time between two looks does not count', () => {
  let now = 0;
  const age = new HeartbeatAge(() => now);
  age.idleMs(0, 5);
  now = 500;
  expect(age.idleMs(0, 5)).toBe(500);
  now = 60_500;
  expect(age.idleMs(0, 5)).toBe(2_500);
});
