import { Hono } from 'hono';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { startHttpServer } from '../../src/http/http-server.js';
import { RequestGate } from '../../src/loki/gate.js';
import { logLine } from '../support.js';
import { ns, TestLoki } from './server.js';

const NUM_RUNNING = 16;

afterEach(() => void vi.useRealTimers());

/** Starts a server with a gate before a route that waits for `release`. */
async function startGated() {
  const begun: string[] = [];
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const gate = new RequestGate();
  const routes = new Hono().get(
    '/:id',
    gate.guard(async (c) => {
      begun.push(c.req.param('id') ?? '');
      await released;
      return c.text('done');
    }),
  );
  const server = await startHttpServer({
    address: { host: '127.0.0.1', port: 0 },
    name: 'test',
    option: '--http',
    token: null,
    features: [{ routes }],
  });
  const get = async (id: string, init: RequestInit = {}) => {
    const response = await fetch(`http://127.0.0.1:${server.address.port}/${id}`, init);
    return `${response.status} ${await response.text()}`;
  };
  const running = Array.from({ length: NUM_RUNNING }, (_, i) => get(`r${i}`));
  onTestFinished(async () => {
    release();
    await Promise.all(running);
    await server.close();
  });
  await expect.poll(() => begun.length).toBe(NUM_RUNNING);
  const waiting = (count: number) => expect.poll(() => gate.numWaiting).toBe(count);
  return { routes, get, begun, release, running, waiting };
}

it('answers all of 60 queries at once', async () => {
  const loki = await TestLoki.start();
  loki.runs.write(
    'node-0',
    Array.from({ length: 300 }, (_, i) => logLine({ atMs: i, node: 0, rank: 0 })),
  );
  const query = { query: '{run="r1"} |~ "st[e]p"', start: ns(0), end: ns(10_000), limit: 5_000 };
  const answers = await Promise.all(
    Array.from({ length: 60 }, () => fetch(loki.address('query_range', query))),
  );
  expect(answers.map(({ status }) => status)).toEqual(Array(60).fill(200));
  const [{ data }] = (await Promise.all(answers.slice(-1).map((answer) => answer.json()))) as [
    { data: { stats: { summary: { queueTime: number } } } },
  ];
  expect(data.stats.summary.queueTime).toBeGreaterThan(0);
});

describe('a request beyond those that run at once', () => {
  it('waits for its turn, in order of arrival', async () => {
    const { get, begun, release, running, waiting } = await startGated();
    const first = get('w1');
    await waiting(1);
    const second = get('w2');
    await waiting(2);
    expect(begun).toHaveLength(NUM_RUNNING);
    release();
    expect(await Promise.all([...running, first, second])).toEqual(Array(NUM_RUNNING + 2).fill('200 done'));
    expect(begun.slice(NUM_RUNNING)).toEqual(['w1', 'w2']);
  });

  it('leaves the queue when its client goes away', async () => {
    const { get, begun, release, running, waiting } = await startGated();
    const leaving = new AbortController();
    const gone = get('gone', { signal: leaving.signal });
    await waiting(1);
    leaving.abort();
    await expect(gone).rejects.toThrow();
    await waiting(0);
    const waits = get('waits');
    await waiting(1);
    release();
    await Promise.all(running);
    expect(await waits).toBe('200 done');
    expect(begun).not.toContain('gone');
  });

  it('takes no place if its client went away before it came', async () => {
    const { routes, begun, waiting } = await startGated();
    expect((await routes.request('/gone', { signal: AbortSignal.abort() })).status).toBe(504);
    await waiting(0);
    expect(begun).not.toContain('gone');
  });

  it('waits no longer than 30 s', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { get, begun } = await startGated();
    const late = get('late');
    let answer = '';
    void late.then((text) => {
      answer = text;
    });
    await expect
      .poll(() => {
        vi.advanceTimersByTime(10_000);
        return answer;
      })
      .toMatch(/^504 the request waited 30 s for others/);
    expect(begun).not.toContain('late');
  });

  it('is refused where 2048 wait already', async () => {
    const { routes, release } = await startGated();
    const waiting = Array.from({ length: 2_048 }, (_, i) => routes.request(`/w${i}`));
    const refused = await routes.request('/more');
    expect([refused.status, await refused.text()]).toEqual([429, 'too many outstanding requests']);
    release();
    expect((await Promise.all(waiting)).every(({ status }) => status === 200)).toBe(true);
  });
});
