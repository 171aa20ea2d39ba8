import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { type FaultyConnection, FaultyLink } from '../../src/agent/faulty-link.js';

let link: FaultyLink;
let passed: string[];
let pass: (name: string, bytes?: number) => void;

beforeEach(() => {
  vi.useFakeTimers();
  link = new FaultyLink();
  passed = [];
  pass = passOn(link.connection());
});

function passOn(connection: FaultyConnection): typeof pass {
  return (name, bytes = 100) => connection.pass(bytes, () => passed.push(name));
}

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

it('keeps what it has carried when another fault takes the place of one', () => {
  link.inflict({ seconds: 100, bytesPerS: 1000 });
  pass('a', 1000);
  vi.advanceTimersByTime(500);
  link.inflict({ seconds: 100, bytesPerS: 100 });
  vi.advanceTimersByTime(4_999);
  expect(passed).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(passed).toEqual(['a']);
});

it('delivers nothing once it is closed', () => {
  link.inflict({ seconds: 1, bytesPerS: 0 });
  pass('a');
  link.close();
  expect(vi.getTimerCount()).toBe(0);
  vi.advanceTimersByTime(1_000);
  expect(passed).toEqual([]);
});

it('is whole again when a slow time ends, whatever is on the way', () => {
  link.inflict({ seconds: 1, bytesPerS: 1 });
  pass('a', 1_000_000);
  vi.advanceTimersByTime(1_000);
  expect(passed).toEqual(['a']);
});

it('shares what it carries between connections, each in its own order', () => {
  const heartbeats = passOn(link.connection());
  link.inflict({ seconds: 100, bytesPerS: 1000 });
  pass('frame', 4000);
  pass('next frame', 1000);
  vi.advanceTimersByTime(1_000);
  heartbeats('heartbeat');
  // This connection has half of the link: 100 bytes take 0.2 s.
  vi.advanceTimersByTime(199);
  expect(passed).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(passed).toEqual(['heartbeat']);
  // By now 1000 bytes of the frame have passed, and 100 beside the heartbeat.
  vi.advanceTimersByTime(2_899);
  expect(passed).toEqual(['heartbeat']);
  vi.advanceTimersByTime(1);
  expect(passed).toEqual(['heartbeat', 'frame']);
  vi.advanceTimersByTime(1_000);
  expect(passed).toEqual(['heartbeat', 'frame', 'next frame']);
});

it('delivers nothing before the sender has finished passing it on', () => {
  const other = link.connection();
  link.inflict({ seconds: 1, bytesPerS: 0 });
  other.pass(100, () => pass('answer'));
  // The timer is late.
  vi.spyOn(performance, 'now').mockReturnValue(performance.now() + 2_000);
  passOn(link.connection())('other', 0);
  expect(passed).toEqual(['other']);
  vi.restoreAllMocks();
  pass('a');
  expect(passed).toEqual(['other']);
  vi.advanceTimersByTime(1_000);
  expect(passed).toEqual(['other', 'a', 'answer']);
});

it('takes no time to pass what comes while something is delivered', () => {
  const connection = link.connection();
  link.inflict({ seconds: 1, bytesPerS: 0 });
  connection.pass(100, () => connection.pass(100, () => passed.push('b')));
  vi.advanceTimersByTime(1_000);
  expect(passed).toEqual(['b']);
});
