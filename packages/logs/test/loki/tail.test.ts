import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import { logLine } from '../support.js';
import { labels } from './four-lines.js';
import { ns, type Query, TestLoki } from './server.js';

const QUERY = '{run="r1"} |= "keep"';
const START = ns(0);
const line = (atMs: number, msg: string) => logLine({ atMs, node: 0, rank: 0, msg });

/** Polls, and each time moves the server's stopped clock by `stepMs`. */
const pollWithClock = (stepMs: number, of: () => unknown) =>
  expect.poll(
    () => {
      vi.advanceTimersByTime(stepMs);
      return of();
    },
    { timeout: 30_000 },
  );

const stopClock = () => vi.useFakeTimers({ toFake: ['performance', 'setInterval', 'clearInterval'] });
afterEach(() => void vi.useRealTimers());

/** A log with the single line `keep 0`, and a tail that has received it. */
async function startTail(query: Query = { query: QUERY, start: START }) {
  const loki = await TestLoki.start();
  loki.runs.write('node-0', [line(0, 'keep 0')]);
  const tail = loki.tail(query);
  await expect.poll(() => tail.messages.length).toBe(1);
  return { loki, tail };
}

/** Writes lines of 4 kB that exceed the sockets' buffers; returns their number. */
function writeLongLines(loki: TestLoki): number {
  const numLines = 4_000;
  const text = `keep ${'x'.repeat(4_000)}`;
  for (let at = 1; at <= numLines; at += 400)
    loki.runs.write(
      'node-0',
      Array.from({ length: 400 }, (_, i) => line(at + i, text)),
    );
  return numLines;
}

const numRead = ({ messages }: ReturnType<TestLoki['tail']>) =>
  messages.reduce((sum, { streams }) => sum + streams.reduce((n, { values }) => n + values.length, 0), 0);

describe('tail', () => {
  it('gives the newest past lines up to its limit, then those to come, without a gap', async () => {
    const loki = await TestLoki.start();
    loki.runs.write(
      'node-0',
      [0, 1, 2, 3].map((at) => line(at, `keep ${at}`)),
    );
    const tail = loki.tail({ query: QUERY, limit: 2, start: START, delay_for: 1 });
    await expect.poll(tail.lines).toEqual([line(2, 'keep 2'), line(3, 'keep 3')]);
    loki.runs.write('node-0', [line(4, 'leave'), line(5, 'keep 5')]);
    // A new stream in a new file.
    loki.runs.write('node-1', [logLine({ atMs: 6, node: 1, rank: 1, level: 'error', msg: 'keep 6' })]);
    await expect.poll(() => tail.lines().length).toBe(4);
    expect(
      tail
        .lines()
        .slice(2)
        .map((text) => JSON.parse(text).msg),
    ).toEqual(['keep 5', 'keep 6']);
    const values = [2, 3].map((at) => [ns(at), line(at, `keep ${at}`)]);
    expect(tail.messages[0]).toEqual({ streams: [{ stream: labels(0), values }], dropped_entries: null });
  });

  it('pings every second', async () => {
    const loki = await TestLoki.start();
    loki.runs.write('node-0', [line(0, 'keep')]);
    stopClock();
    const { socket } = loki.tail({ query: QUERY });
    let pings = 0;
    socket.on('ping', () => pings++);
    await once(socket, 'open');
    vi.advanceTimersByTime(2_999);
    await expect.poll(() => pings).toBe(2);
  });

  it.each([
    [{ query: '{run="r1"' }, 'parse error at line 1'],
    [{ query: 'rate({run="r1"}[1m])' }, 'rate({run="r1"}[1m]) computes numbers'],
    [{ query: `{run="${'x'.repeat(6_000)}"}` }, 'the query has 6008 characters'],
    [{ query: QUERY, delay_for: 6 }, "delay_for can't be greater than 5"],
  ])('refuses the handshake with the reason: %.40j', async (query, reason) => {
    const loki = await TestLoki.start();
    const { socket } = loki.tail(query);
    const [, response] = await once(socket, 'unexpected-response');
    expect(response.statusCode).toBe(400);
    expect(await text(response)).toContain(reason);
  });

  it('delivers every line before the server closes it, and says that it goes', async () => {
    const loki = await TestLoki.start();
    loki.runs.write('node-0', [line(0, 'keep 0')]);
    const tails = Array.from({ length: 2 }, () => loki.tail({ query: QUERY, start: START }));
    await expect.poll(() => tails.every(({ messages }) => messages.length === 1)).toBe(true);
    // More lines than one poll reads, most of which do not match.
    const noise = Array.from({ length: 5_000 }, (_, i) => line(i + 1, `leave ${'x'.repeat(2_000)}`));
    loki.runs.write('node-0', [...noise, line(6_000, 'keep 1')]);
    loki.runs.write('node-1', [logLine({ atMs: 6_001, node: 1, rank: 1, msg: 'keep 2' })]);
    await loki.close();
    for (const { closed, lines } of tails) {
      expect(await closed).toBe('1001 the server ends');
      expect(lines().map((each) => JSON.parse(each).msg)).toEqual(['keep 0', 'keep 1', 'keep 2']);
    }
  });

  it('delivers what was written before a tail had begun, too', async () => {
    const loki = await TestLoki.start();
    loki.runs.write(
      'node-0',
      Array.from({ length: 3_000 }, (_, i) => line(i, `keep ${i}`)),
    );
    const tail = loki.tail({ query: QUERY, start: START, limit: 5_000 });
    await once(tail.socket, 'open');
    await loki.close();
    expect(await tail.closed).toMatch(/^1001 /);
    expect(tail.lines()).toHaveLength(3_000);
  });

  it('does not wait for a client that reads nothing', async () => {
    const { loki, tail } = await startTail();
    tail.socket.pause();
    writeLongLines(loki);
    await loki.close();
  });

  it('has no more than 32 clients at once', async () => {
    const loki = await TestLoki.start();
    loki.runs.write('node-0', [line(0, 'keep')]);
    const tails = Array.from({ length: 33 }, () => loki.tail({ query: QUERY, start: START }));
    expect(await Promise.race(tails.map(({ closed }) => closed))).toMatch(
      /^1013 max concurrent tail requests/,
    );
    await expect.poll(() => tails.filter(({ lines }) => lines().length === 1).length).toBe(32);
  });

  it('drops lines for clients that do not read, names them, cuts off who stays behind; others do not notice', async () => {
    stopClock();
    const { loki, tail: quick } = await startTail();
    const [slow, stuck] = [0, 1].map(() => loki.tail({ query: QUERY, start: START })) as [
      typeof quick,
      typeof quick,
    ];
    await expect.poll(() => [slow, stuck].every(({ messages }) => messages.length === 1)).toBe(true);
    slow.socket.pause();
    stuck.socket.pause();
    const numLines = 1 + writeLongLines(loki);
    await pollWithClock(20, () => numRead(quick)).toBe(numLines);
    expect(quick.messages.every(({ dropped_entries }) => dropped_entries === null)).toBe(true);
    await pollWithClock(100, () => loki.activity().droppedLines).toBeGreaterThan(0);

    // The client reads again before it is cut off, and learns what it missed.
    slow.socket.resume();
    const dropped = () => slow.messages.flatMap(({ dropped_entries }) => dropped_entries ?? []);
    await pollWithClock(100, () => dropped().length).toBeGreaterThan(0);
    expect(dropped()[0]).toEqual({
      labels: expect.objectContaining({ run: 'r1', rank: '0' }),
      timestamp: expect.stringMatching(/^\d{19}$/),
    });
    expect(numRead(slow)).toBeLessThan(numLines);

    vi.advanceTimersByTime(12_000);
    stuck.socket.resume();
    expect(await stuck.closed).toMatch(/^1006/);
    expect(slow.socket.readyState).toBe(WebSocket.OPEN);
  });

  it('is cut off after 30 s without a pong', async () => {
    stopClock();
    const { loki, tail: alive } = await startTail();
    const dead = loki.tail({ query: QUERY, start: START }, {}, { autoPong: false });
    await expect.poll(() => dead.lines().length).toBe(1);
    for (let at = 0; at < 5; at++) {
      const pinged = once(alive.socket, 'ping');
      vi.advanceTimersByTime(5_900);
      await pinged;
      // The server has read the pong by the time it answers another request.
      await loki.get('labels');
    }
    loki.runs.write('node-0', [line(1, 'keep 1')]);
    await expect.poll(() => dead.lines().length).toBe(2);
    vi.advanceTimersByTime(1_500);
    expect(await dead.closed).toMatch(/^1006/);
    expect(loki.activity().tails).toBe(1);
  });

  it('waits half a second for a client that does not read, before it loses lines, and ten more until it cuts it off', async () => {
    stopClock();
    const pausedMs = performance.now();
    const { loki, tail } = await startTail();
    tail.socket.pause();
    const numLines = 1 + writeLongLines(loki);
    // The clock stands still until another client has received all lines.
    const other = loki.tail({ query: QUERY, start: START, limit: 5_000 });
    await expect.poll(() => numRead(other)).toBe(numLines);
    expect(loki.activity().droppedLines).toBe(0);
    await pollWithClock(100, () => loki.activity().droppedLines).toBeGreaterThan(0);
    vi.advanceTimersByTime(9_000);
    expect(loki.activity().tails).toBe(2);
    vi.advanceTimersByTime(2_000);
    expect(loki.activity().tails).toBe(1);
    // Too little time has passed for a missed pong to be the reason.
    expect(performance.now() - pausedMs).toBeLessThan(30_000);
  });
});
