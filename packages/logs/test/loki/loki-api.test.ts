import { beforeEach, describe, expect, it } from 'vitest';
import { randomNumbers, T0 } from '../support.js';
import { ALL, labels, line, lokiOfFour, stream } from './four-lines.js';
import { ns, type Query, TestLoki } from './server.js';

const S = T0 / 1000;
/** A server with the four lines of `lokiOfFour`. */
let loki: TestLoki;
beforeEach(async () => {
  loki = await lokiOfFour();
});
const queryRange = async (query: object) => (await loki.get('query_range', query as Query)).data;

describe('query_range', () => {
  it('gives streams, newest first, start included and end not', async () => {
    const query = { query: '{run="r1"}', start: ns(0), end: ns(2000) };
    const { status, data } = await loki.get('query_range', query);
    expect(status).toBe('success');
    expect(data.resultType).toBe('streams');
    expect(data.result).toEqual([
      { stream: labels(1), values: [[ns(1000), line(1000, 1)]] },
      {
        stream: labels(0),
        values: [
          [ns(1000), line(1000, 0)],
          [ns(0), line(0, 0)],
        ],
      },
    ]);
    expect(data.stats.summary.totalEntriesReturned).toBe(3);
  });

  it.each(['forward', 'FORWARD', 'backward', 'BACKWARD'])('direction %s', async (direction) => {
    const { result } = await queryRange({ query: '{rank="0",level="info"}', direction, ...ALL });
    const times = [ns(0), ns(1000)];
    expect(result[0].values.map(([at]: [string]) => at)).toEqual(
      /forward/i.test(direction) ? times : times.reverse(),
    );
  });

  it('takes a form in a POST, and times in every notation', async () => {
    const iso = (atMs: number) => new Date(T0 + atMs).toISOString();
    for (const [start, end] of [
      [ns(0), ns(1001)],
      [`${S}`, `${S + 1}.001`],
      [iso(0), iso(1001)],
    ]) {
      const body = new URLSearchParams({ query: '{run="r1"}', start, end });
      const { data } = await loki.get('query_range', {}, { method: 'POST', body });
      expect(data.stats.summary.totalEntriesReturned).toBe(3);
    }
  });

  it('gives a matrix, oldest first, at start, start + step ... end', async () => {
    const query = 'sum by (rank) (count_over_time({run="r1"}[1s]))';
    for (const step of ['1000ms', '1', '1s', '1.0']) {
      const { resultType, result } = await queryRange({ query, start: ns(0), end: ns(3000), step });
      expect(resultType).toBe('matrix');
      expect(result).toEqual([
        { metric: { rank: '0' }, values: [0, 1, 2].map((at) => [S + at, '1']) },
        { metric: { rank: '1' }, values: [[S + 1, '1']] },
      ]);
    }
    const { result } = await queryRange({ query: '2 * 3', start: ns(0), end: ns(2000), step: 1 });
    expect(result).toEqual([{ metric: {}, values: [0, 1, 2].map((at) => [S + at, '6']) }]);
  });

  it('has its points at multiples of the step, around the range', async () => {
    const timesOf = async (start: number, end: number, step: string) => {
      const { result } = await queryRange({ query: 'vector(1)', start: ns(start), end: ns(end), step });
      return result[0].values.map(([at]: [number]) => at - S);
    };
    expect(await timesOf(500, 2500, '1s')).toEqual([0, 1, 2, 3]);
    expect(await timesOf(0, 2000, '1s')).toEqual([0, 1, 2]);
    // T0 is not a multiple of 7 s.
    expect((await timesOf(0, 7000, '7s')).map((at: number) => (S + at) % 7)).toEqual([0, 0, 0]);
  });

  it('takes a step of a 250th of the range, but a second at least', async () => {
    const count = async (spanS: number) => {
      const { result } = await queryRange({ query: 'vector(1)', start: ns(0), end: ns(spanS * 1000) });
      return result[0].values.length;
    };
    expect(await count(100)).toBe(101);
    expect(await count(1000)).toBe(251);
  });

  it('answers the log volume query of Explore', async () => {
    const query = 'sum by (level, detected_level) (count_over_time({run="r1"} | drop __error__[2s]))';
    const { result } = await queryRange({ query, start: ns(0), end: ns(2000), step: '2000ms' });
    const levels = (level: string) => ({ level, detected_level: level });
    expect(result).toEqual([
      { metric: levels('error'), values: [[S + 2, '1']] },
      { metric: levels('info'), values: [0, 2].map((at) => [S + at, at === 0 ? '1' : '2']) },
    ]);
  });

  it('says what it has read', async () => {
    const loki = await TestLoki.start();
    const lines = Array.from({ length: 1_500 }, (_, i) => line(i, 0));
    loki.runs.write('node-0', [...lines, line(1, 1)]);
    const bytes = lines.reduce((sum, text) => sum + text.length, 0);
    for (const query of ['{rank="0"} |= "absent"', 'sum(rate({rank="0"} |~ "st[e]p" [5s]))']) {
      const { data } = await loki.get('query_range', { query, ...ALL, step: '10s' });
      const { summary } = data.stats;
      expect(summary).toMatchObject({ totalLinesProcessed: 1_500, totalBytesProcessed: bytes });
      expect(summary.execTime).toBeGreaterThan(0);
      expect(summary.linesProcessedPerSecond * summary.execTime).toBeCloseTo(1_500, -1);
      expect(summary.bytesProcessedPerSecond * summary.execTime).toBeCloseTo(bytes, -1);
    }
  });

  it('is paged to the end as logcli does it, without a loop', async () => {
    const loki = await TestLoki.start();
    const random = randomNumbers(4);
    const lines = Array.from({ length: 1_000 }, (_, i) =>
      line(Math.floor(i / 3 + random() * 5), 0, 'info', { i }),
    );
    loki.runs.write('node-0', lines);
    const seen = new Set<string>();
    let end = BigInt(ns(10_000));
    let oldest: string[] = [];
    for (let pages = 0; ; pages++) {
      expect(pages).toBeLessThan(100);
      const limit = 100 + oldest.length;
      const range = { start: ns(0), end: String(end) };
      const { data } = await loki.get('query_range', { query: '{run="r1"}', ...range, limit });
      const values: [string, string][] = data.result.flatMap(({ values }: { values: object[] }) => values);
      const fresh = values.filter(([, text]) => !oldest.includes(text));
      for (const [, text] of fresh) {
        expect(seen.has(text)).toBe(false);
        seen.add(text);
      }
      if (fresh.length === 0) break;
      const last = values.at(-1)![0];
      oldest = values.filter(([at]) => at === last).map(([, text]) => text);
      end = BigInt(last) + 1n;
    }
    expect(seen.size).toBe(1_000);
  });

  it('limits', async () => {
    const loki = await TestLoki.start();
    loki.runs.write(
      'node-0',
      Array.from({ length: 6_000 }, (_, i) => line(i, 0)),
    );
    const count = async (limit: object) =>
      (await loki.get('query_range', { query: '{run="r1"}', ...ALL, ...limit })).data.stats.summary
        .totalEntriesReturned;
    expect(await count({})).toBe(100);
    expect(await count({ limit: 5000 })).toBe(5000);
    await expect(count({ limit: 5001 })).rejects.toThrow(
      '400 max entries limit per query exceeded, limit > max_entries_limit_per_query (5001 > 5000)',
    );
  });

  it.each<[string, Record<string, string | number>, string]>([
    ['no query', { query: '' }, 'parse error : syntax error: unexpected $end'],
    ['a broken query', { query: '{a="b"' }, 'parse error at line 1, col 7'],
    ['an unsupported function', { query: 'approx_topk(1, vector(1))' }, '`approx_topk` is not supported'],
    ['a wrong direction', { direction: 'up' }, "invalid direction 'up'"],
    ['a wrong limit', { limit: -1 }, 'limit must be a positive value'],
    ['a wrong time', { start: 'yesterday' }, "could not parse 'start' parameter: yesterday is not a time"],
    ['a time of 30 digits', { start: '9'.repeat(30) }, 'is not a time'],
    ['an end before the start', { start: ns(5), end: ns(1) }, 'end timestamp must not be before'],
    ['a step without end', { query: 'vector(1)', step: '9'.repeat(400) }, 'to a valid duration'],
    ['a duration beyond 64 bits', { query: 'vector(1)', since: '9'.repeat(20) }, 'to a valid duration'],
    ['no step', { query: 'vector(1)', step: 0 }, 'zero or negative query resolution'],
    [
      'too many points',
      { query: 'vector(1)', end: ns(11_000_001), step: '1s' },
      'exceeded maximum resolution',
    ],
    ['a long query', { query: `{a="${'b'.repeat(9_994)}"}` }, 'more than the 5000'],
    ['a regex bomb', { query: '{run="r1"} |~ "((a{900}){900}){900}"' }, 'invalid repeat count'],
  ])('refuses %s with 400 and a plain reason', async (_, parameters, message) => {
    const query = { query: '{run="r1"}', ...ALL, ...parameters };
    const response = await fetch(loki.address('query_range', query));
    expect(response.status).toBe(400);
    expect(response.headers.get('content-type')).toMatch(/^text\/plain/);
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    expect(await response.text()).toContain(message);
  });
});

describe('query', () => {
  it('answers the health check of a Grafana data source', async () => {
    const asked = { query: 'vector(1)+vector(1)', time: '4000000000', direction: 'backward' };
    const { data } = await loki.get('query', asked);
    expect(data.resultType).toBe('vector');
    expect(data.result).toEqual([{ metric: {}, value: [4_000_000_000, '2'] }]);
  });

  it('gives a vector or a scalar, and refuses to select lines', async () => {
    const query = 'sum by (level) (count_over_time({run="r1"}[5s]))';
    expect((await loki.get('query', { query, time: ns(3000) })).data.result).toEqual([
      { metric: { level: 'error' }, value: [S + 3, '1'] },
      { metric: { level: 'info' }, value: [S + 3, '3'] },
    ]);
    const { data } = await loki.get('query', { query: '1 / 4', time: ns(0) });
    expect(data).toMatchObject({ resultType: 'scalar', result: [S, '0.25'] });
    await expect(loki.get('query', { query: '{run="r1"}' })).rejects.toThrow(
      '400 log queries are not supported',
    );
  });
});

describe('what the index knows', () => {
  it('labels, their values, and series by both spellings of match', async () => {
    expect(await loki.get('labels', ALL)).toEqual({
      status: 'success',
      data: ['generation', 'level', 'node', 'rank', 'run', 'service_name', 'source'],
    });
    expect((await loki.get('label/rank/values', ALL)).data).toEqual(['0', '1']);
    expect((await loki.get('label/rank/values', { ...ALL, query: '{level="error"}' })).data).toEqual(['0']);
    expect((await loki.get('label/rank/values', { start: ns(50_000), end: ns(60_000) })).data).toEqual([]);
    for (const name of ['match', 'match[]']) {
      const query = new URLSearchParams(ALL);
      for (const match of ['{level="error"}', '{rank="1"}']) query.append(name, match);
      expect((await loki.get('series', query)).data).toEqual([stream(0, 'error'), stream(1)]);
      expect((await loki.get('series', {}, { method: 'POST', body: query })).data).toHaveLength(2);
    }
    const { detectedLabels } = await loki.get('detected_labels', ALL);
    expect(detectedLabels).toContainEqual({ label: 'rank', cardinality: 2 });
  });

  it('all series for {} alone, and names and values by POST, with a form or without', async () => {
    for (const match of ['{}', '{ }']) {
      expect((await loki.get('series', { match, ...ALL })).data).toHaveLength(3);
      const body = new URLSearchParams({ 'match[]': match, ...ALL });
      expect((await loki.get('series', {}, { method: 'POST', body })).data).toHaveLength(3);
    }
    const both = new URLSearchParams([...Object.entries(ALL), ['match', '{}'], ['match', '{rank="1"}']]);
    await expect(loki.get('series', both)).rejects.toThrow('400 parse error');
    for (const path of ['labels', 'label/rank/values', 'detected_labels']) {
      const expected = await loki.get(path, ALL);
      const body = new URLSearchParams(ALL);
      expect(await loki.get(path, {}, { method: 'POST', body })).toEqual(expected);
      expect(await loki.get(path, ALL, { method: 'POST' })).toEqual(expected);
    }
  });

  it.each([
    ['series', 'match'],
    ['labels', 'query'],
    ['index/stats', 'query'],
    ['index/volume', 'query'],
    ['patterns', 'query'],
  ])('%s takes a selector and no stages', async (path, name) => {
    await expect(loki.get(path, { [name]: '{run="r1"} |= "x"', ...ALL })).rejects.toThrow(
      '400 only label matchers are supported',
    );
  });

  it('stats without a wrapper', async () => {
    const bytes = [line(0, 0), line(1000, 0)].reduce((sum, text) => sum + text.length, 0);
    const query = { query: '{rank="0",level="info"}', start: ns(0), end: ns(1001) };
    expect(await loki.get('index/stats', query)).toEqual({ streams: 1, chunks: 1, entries: 2, bytes });
    expect(await loki.get('index/stats', { ...query, end: ns(1000) })).toMatchObject({ entries: 1 });
  });

  it('volumes', async () => {
    const size = line(0, 0).length;
    const asked = { query: '{level="info"}', ...ALL, targetLabels: 'rank' };
    const { data } = await loki.get('index/volume', asked);
    expect(data.resultType).toBe('vector');
    expect(data.result).toEqual([
      { metric: { rank: '0' }, value: [S + 10, String(2 * size)] },
      { metric: { rank: '1' }, value: [S + 10, String(size)] },
    ]);
    const limited = await loki.get('index/volume', { ...asked, limit: 1 });
    expect(limited.data.result).toHaveLength(1);
    const byLabel = await loki.get('index/volume', { query: '{rank="1"}', ...ALL, aggregateBy: 'labels' });
    expect(byLabel.data.result).toContainEqual({ metric: { node: '' }, value: [S + 10, String(size)] });
  });

  it('volumes between multiples of the step', async () => {
    const size = String(line(0, 0).length);
    const volumes = async (start: number, end: number, step: string) => {
      const asked = { query: '{rank="0",level="info"}', start: ns(start), end: ns(end), step };
      return (await loki.get('index/volume_range', asked)).data;
    };
    const metric = { level: 'info', rank: '0' };
    const valuesAt = (...seconds: number[]) => seconds.map((at) => [S + at, size]);
    expect(await volumes(0, 3000, '1s')).toMatchObject({
      resultType: 'matrix',
      result: [{ metric, values: valuesAt(0.999, 1.999) }],
    });
    // Only parts of the first and the last step are in the range.
    expect((await volumes(-300, 1001, '500ms')).result).toEqual([{ metric, values: valuesAt(0.499, 1.001) }]);
    expect(await volumes(1, 1000, '1s')).toMatchObject({ resultType: 'vector', result: [] });
    expect(await volumes(0, 1000, '1h')).toMatchObject({
      resultType: 'vector',
      result: [{ metric, value: [S + 1, size] }],
    });
  });

  it('detected fields', async () => {
    const loki = await TestLoki.start();
    loki.runs.write('node-0', [
      line(0, 0, 'info', { loss: 2.5, ok: true, took: '5ms', deep: { er: 1 } }),
      line(1, 0, 'info', { loss: 3, ok: false, took: '1s' }),
    ]);
    const { fields, limit } = await loki.get('detected_fields', { query: '{run="r1"}', ...ALL, step: '10s' });
    expect(limit).toBe(1000);
    for (const [label, type, cardinality] of [
      ['loss', 'float', 2],
      ['ok', 'boolean', 2],
      ['took', 'duration', 2],
      ['deep_er', 'int', 1],
      ['msg', 'string', 1],
    ])
      expect(fields).toContainEqual({ label, type, cardinality, parsers: ['json'] });
    expect((await loki.get('detected_field/took/values', { query: '{run="r1"}', ...ALL })).values).toEqual([
      '1s',
      '5ms',
    ]);
  });

  it('says that it is ready, who it is, and formats a query', async () => {
    expect(await (await fetch(`${loki.url}/ready`)).text()).toBe('ready\n');
    expect((await loki.get('status/buildinfo')).version).toMatch(/^\d+\.\d+\.\d+/);
    const query = ' {run="r1"} |= "x"';
    expect((await loki.get('format_query', { query })).data).toBe('{run="r1"} |= "x"');
    await expect(loki.get('format_query', { query: '{' })).rejects.toThrow(
      '400 {"status":"invalid-query","error":"parse error',
    );
  });
});

describe('hostile lines', () => {
  it('pass as text', async () => {
    const loki = await TestLoki.start();
    const html = '<script>alert(1)</script>';
    loki.runs.write('node-0', [
      html,
      line(0, 0, 'info', { __proto__: 1, constructor: 'x', html }),
      '{"__proto__":{"polluted":1},"level":"info","time":1700000000000,"msg":"m"}',
      'x'.repeat(1 << 20),
    ]);
    const response = await fetch(loki.address('query_range', { query: '{run="r1"} | json', ...ALL }));
    expect(response.headers.get('content-type')).toMatch(/^application\/json/);
    const { data } = (await response.json()) as { data: { stats: object } };
    expect(data.stats).toMatchObject({ summary: { totalEntriesReturned: 4 } });
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    await loki.get('detected_fields', { query: '{run="r1"}', ...ALL });
  });
});
