import { afterEach, expect, it, vi } from 'vitest';
import type { RunDetail } from '../src/api-types.js';
import { fetchLogActivity } from '../src/browser/overview/log-activity.js';
import { RunData } from '../src/browser/overview/run-data.js';

const STARTED_AT = Date.parse('2026-01-02T03:04:05Z');
const seconds = (...all: readonly number[]) => all.map((each) => STARTED_AT + 1_000 * each + 500);

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

it('misses no line of a live run, late ones included, and counts none twice', async () => {
  const lines: number[] = [];
  vi.useFakeTimers({ toFake: ['Date'] });
  // Loki's answer: counts of the lines in each step before a time.
  vi.stubGlobal('fetch', async (url: string) => {
    const params = new URL(url, 'http://page').searchParams;
    const [start, end] = ['start', 'end'].map((name) => Number(params.get(name)) / 1e6);
    const stepMs = Number.parseInt(params.get('step')!, 10);
    const values: (readonly [number, string])[] = [];
    for (let at = start; at < end; at += stepMs) {
      const count = lines.filter((time) => time > at - stepMs && time <= at).length;
      if (count > 0) values.push([at / 1e3, String(count)]);
    }
    const isOfCoordinator = params.get('query')!.includes('source="coordinator"');
    const result = isOfCoordinator ? [] : [{ metric: { rank: '0', level: 'info' }, values }];
    return Response.json({ data: { resultType: 'matrix', result } });
  });
  const run = new RunData('live');
  run.detail = { isLive: true, endedAt: null, startedAt: new Date(STARTED_AT).toISOString() } as RunDetail;
  const at = (second: number) => vi.setSystemTime(STARTED_AT + 1_000 * second);

  at(10);
  lines.push(...seconds(1, 9));
  const first = await fetchLogActivity(run, null);
  at(16);
  lines.push(...seconds(8, 12, 15));
  const second = await fetchLogActivity(run, first);
  at(22);
  lines.push(...seconds(18));
  const { marks } = await fetchLogActivity(run, second);
  expect(marks.map(({ time }) => time).sort()).toEqual(seconds(1, 8, 9, 12, 15, 18));
});
