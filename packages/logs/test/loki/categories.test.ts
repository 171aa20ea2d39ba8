import { describe, expect, it } from 'vitest';
import { ALL, line, lokiOfFour, stream } from './four-lines.js';
import { ns, TestLoki } from './server.js';

const CATEGORIZE = { 'X-Loki-Response-Encoding-Flags': 'a-later-one,categorize-labels' };

/** Two lines of one stream whose extracted labels differ. */
async function lokiOfTwo() {
  const loki = await TestLoki.start();
  const lines = [line(0, 0, 'info', { loss: 2 }), line(1, 0, 'info', { loss: 3 })];
  loki.runs.write('node-0', lines);
  const others = (loss: string) => ({ structuredMetadata: { detected_level: 'info' }, parsed: { loss } });
  const streams = [
    {
      stream: stream(0),
      values: [
        [ns(0), lines[0], others('2')],
        [ns(1), lines[1], others('3')],
      ],
    },
  ];
  return { loki, lines, streams, query: { query: '{run="r1"} | json loss="loss"', start: ns(0) } };
}

describe('labels by category', () => {
  it('of a query, where its client asks for them', async () => {
    const { loki, lines, streams, query } = await lokiOfTwo();
    const range = { ...query, end: ns(10), direction: 'forward' };
    const { data } = await loki.get('query_range', range, { headers: CATEGORIZE });
    expect(data).toMatchObject({ resultType: 'streams', encodingFlags: ['categorize-labels'] });
    expect(data.result).toEqual(streams);

    const plain = (await loki.get('query_range', range)).data;
    expect(plain).not.toHaveProperty('encodingFlags');
    expect(plain.result).toEqual([
      { stream: { ...stream(0), detected_level: 'info', loss: '2' }, values: [[ns(0), lines[0]]] },
      { stream: { ...stream(0), detected_level: 'info', loss: '3' }, values: [[ns(1), lines[1]]] },
    ]);
  });

  it.each([
    ['a header', {}, CATEGORIZE],
    // A browser sends no such header with a WebSocket.
    ['the address', { 'x-loki-response-encoding-flags': 'categorize-labels' }, {}],
  ])('of a tail, too, where %s asks for them', async (_, parameters, headers) => {
    const { loki, streams, query } = await lokiOfTwo();
    const tail = loki.tail({ ...query, ...parameters }, headers);
    await expect.poll(() => tail.messages.length).toBe(1);
    expect(tail.messages[0]).toEqual({
      streams,
      dropped_entries: null,
      encodingFlags: ['categorize-labels'],
    });
  });

  it('of a pipeline error are parsed ones, not of the stream', async () => {
    const { loki } = await lokiOfTwo();
    loki.runs.write('node-0', ['no JSON']);
    const range = { query: '{level="warn"} | json', ...ALL };
    const { data } = await loki.get('query_range', range, { headers: CATEGORIZE });
    expect(data.result).toHaveLength(1);
    const [[, text, { parsed }]] = data.result[0].values;
    expect([text, parsed.__error__]).toEqual(['no JSON', 'JSONParserErr']);
    expect(Object.keys(data.result[0].stream)).not.toContain('__error__');
  });
});

describe('the detected level', () => {
  it('is a field without a parser, and no label of a stream', async () => {
    const loki = await lokiOfFour();
    const query = { query: '{run="r1"}', ...ALL };
    const { fields } = await loki.get('detected_fields', query);
    const level = { label: 'detected_level', type: 'string', cardinality: 2, parsers: null };
    expect(fields).toContainEqual(level);
    expect((await loki.get('detected_field/detected_level/values', query)).values).toEqual(['error', 'info']);
    expect((await loki.get('labels', ALL)).data).not.toContain('detected_level');
    expect((await loki.get('series', ALL)).data).toContainEqual(stream(1));
    for (const path of ['index/volume', 'index/volume_range']) {
      const { data } = await loki.get(path, { ...query, targetLabels: 'detected_level', step: '1h' });
      expect(data.result).toEqual([]);
    }
  });

  it('is counted by, as Logs Drilldown does', async () => {
    const loki = await lokiOfFour();
    const query =
      'sum by (detected_level) (count_over_time({run="r1"} | detected_level=~"error|info" [10s]))';
    const { data } = await loki.get('query', { query, time: ns(5000) });
    expect(data.result).toMatchObject([
      { metric: { detected_level: 'error' }, value: [expect.any(Number), '1'] },
      { metric: { detected_level: 'info' }, value: [expect.any(Number), '3'] },
    ]);
  });
});

it('detects fields of JSON and logfmt, those of the query, and not the labels', async () => {
  const loki = await TestLoki.start();
  loki.runs.write('node-0', [line(0, 0, 'info', { loss: 2 }), 'loss=3 peer=1', 'plain text']);
  const fieldsOf = async (query: string) => {
    const { fields } = await loki.get('detected_fields', { query, ...ALL });
    return new Map(
      fields.map(({ label, parsers }: { label: string; parsers: string[] }) => [label, parsers]),
    );
  };
  const fields = await fieldsOf('{run="r1"}');
  expect(fields.get('loss')).toEqual(expect.arrayContaining(['json', 'logfmt']));
  expect(fields.get('peer')).toEqual(['logfmt']);
  expect(fields.get('rank_extracted')).toEqual(['json']);
  expect(fields.has('rank')).toBe(false);
  expect(
    (await fieldsOf('{level="info"} | json | label_format twice="{{.loss}}{{.loss}}"')).has('twice'),
  ).toBe(true);
});

it('evaluates an instant to the ns', async () => {
  const loki = await lokiOfFour();
  const at = BigInt(ns(0));
  const count = async (range: string, time: bigint) => {
    const query = `sum(count_over_time({run="r1"}[${range}]))`;
    const { data } = await loki.get('query', { query, time: String(time) });
    return Number(data.result[0]?.value[1] ?? 0);
  };
  expect(await count('1s', at - 1n)).toBe(0);
  expect(await count('1s', at)).toBe(1);
  // The window excludes its start.
  expect(await count('1ms', at + 999_999n)).toBe(1);
  expect(await count('1ms', at + 1_000_000n)).toBe(0);
});
