import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { ALL, lokiOfFour } from './four-lines.js';
import { ns } from './server.js';

describe('push', () => {
  const body = (values: unknown[], labels: object = { run: 'r1', app: 'probe' }) => ({
    streams: [{ stream: labels, values }],
  });

  it('keeps lines with their labels and ns, packed or not', async () => {
    const loki = await lokiOfFour();
    const at = BigInt(ns(5000));
    const first = await loki.push(
      body([
        [String(at + 2n), 'two'],
        [String(at + 1n), '<b>one</b>', { trace: 'x' }],
      ]),
    );
    expect([first.status, await first.text()]).toEqual([204, '']);
    const packed = gzipSync(JSON.stringify(body([[String(at + 3n), 'three']])));
    expect((await loki.push(packed, { 'content-encoding': 'gzip' })).status).toBe(204);
    const { data } = await loki.get('query_range', {
      query: '{app="probe"} != "two"',
      start: String(at + 1n),
      end: String(at + 4n),
      direction: 'forward',
    });
    expect(data.result).toEqual([
      {
        stream: { service_name: 'locmoe', run: 'r1', app: 'probe', detected_level: 'unknown' },
        values: [
          [String(at + 1n), '<b>one</b>'],
          [String(at + 3n), 'three'],
        ],
      },
    ]);
    const query = { query: '{app="probe"}', start: String(at + 1n), end: String(at + 2n) };
    expect((await loki.get('query_range', query)).data.result[0].values).toEqual([
      [String(at + 1n), '<b>one</b>'],
    ]);
    expect(await loki.get('index/stats', { query: '{app="probe"}', ...ALL })).toMatchObject({
      entries: 3,
      bytes: 18,
    });
    // The run's own lines are still found.
    expect((await loki.get('query_range', { query: '{run="r1"}', ...ALL })).data.result).toHaveLength(4);
  });

  it.each<[string, string | object, Record<string, string>, string]>([
    ['garbage', 'garbage', {}, 'the body cannot be read'],
    ['another type', '{}', { 'content-type': 'text/plain' }, 'push JSON as application/json'],
    ['another shape', { streams: 5 }, {}, 'push: streams'],
    ['an unknown run', body([], { run: '../../etc' }), {}, 'must name a run'],
    ['no run', body([], {}), {}, 'must name a run'],
    ['a bad label', body([], { run: 'r1', 'a-b': 'x' }), {}, 'push: streams.0.stream'],
    ['a bad time', body([['soon', 'x']]), {}, 'push: streams.0.values'],
    [
      'a long line',
      body([[ns(0), 'x'.repeat(300_000)]]),
      {},
      "Max entry size '262144' bytes exceeded for stream '{app=",
    ],
    ['a huge body', 'x'.repeat(5 << 20), {}, 'larger than 4194304 bytes'],
    ['not gzip', 'x', { 'content-encoding': 'gzip' }, 'cannot be read'],
    [
      'many labels',
      body([], { run: 'r1', ...Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`l${i}`, '1'])) }),
      {},
      'has 31 label names; limit 20',
    ],
  ])('refuses %s', async (_, pushed, headers, message) => {
    const loki = await lokiOfFour();
    const response = await loki.push(pushed, headers);
    expect(response.status).toBe(400);
    expect(await response.text()).toContain(message);
    expect(
      (await loki.get('query_range', { query: '{run="r1"}', ...ALL })).data.stats.summary
        .totalEntriesReturned,
    ).toBe(4);
  });

  it('refuses a gzip bomb and more streams than a run may have', async () => {
    const loki = await lokiOfFour();
    const bomb = gzipSync(Buffer.alloc(64 << 20));
    expect((await loki.push(bomb, { 'content-encoding': 'gzip' })).status).toBe(400);
    const streams = Array.from({ length: 1_001 }, (_, i) => ({
      stream: { run: 'r1', i: String(i) },
      values: [[ns(i), 'x']],
    }));
    const response = await loki.push({ streams });
    expect([response.status, await response.text()]).toEqual([
      400,
      expect.stringContaining('more than 1000 streams'),
    ]);
  });

  it('keeps a line once: the same stream, time and text', async () => {
    const loki = await lokiOfFour();
    const pushed = body([
      [ns(1), 'same'],
      [ns(1), 'same'],
      [ns(1), 'other'],
    ]);
    expect((await Promise.all([1, 2, 3].map(() => loki.push(pushed)))).map(({ status }) => status)).toEqual([
      204, 204, 204,
    ]);
    await loki.push(body([[ns(1), 'same']], { run: 'r1', app: 'another' }));
    await loki.push(body([[ns(2), 'same']]));
    const query = { query: '{app=~".+"}', ...ALL, direction: 'forward' };
    const { data } = await loki.get('query_range', query);
    expect(
      data.result.map(({ stream, values }: { stream: { app: string }; values: string[][] }) => [
        stream.app,
        values.map(([at, line]) => [at, line]),
      ]),
    ).toEqual([
      [
        'probe',
        [
          [ns(1), 'same'],
          [ns(1), 'other'],
          [ns(2), 'same'],
        ],
      ],
      ['another', [[ns(1), 'same']]],
    ]);
  });

  it('refuses lines more than ten minutes ahead, and the push with them', async () => {
    const loki = await lokiOfFour();
    const ahead = (s: number) => `${Date.now() + 1000 * s}000000`;
    expect((await loki.push(body([[ahead(540), 'soon']]))).status).toBe(204);
    const response = await loki.push(
      body([
        [ahead(0), 'now'],
        [ahead(660), 'later'],
      ]),
    );
    expect([response.status, await response.text()]).toEqual([
      400,
      expect.stringMatching(/^entry for stream '\{app="probe", run="r1"\}' has timestamp too new: \d{4}-/),
    ]);
    const { data } = await loki.get('series', { match: '{app="probe"}', end: ahead(3600) });
    expect(data).toEqual([{ service_name: 'locmoe', run: 'r1', app: 'probe' }]);
  });

  it('drops labels without a value', async () => {
    const loki = await lokiOfFour();
    await loki.push(body([[ns(1), 'x']], { run: 'r1', app: 'probe', empty: '' }));
    const { data } = await loki.get('series', { match: '{app="probe"}', ...ALL });
    expect(data).toEqual([{ service_name: 'locmoe', run: 'r1', app: 'probe' }]);
  });
});
