import { expect, it } from 'vitest';
import { NIGHTLY } from '../../../../test/nightly.js';
import { T0 } from '../support.js';
import { ALL, line } from './four-lines.js';
import { ns, TestLoki } from './server.js';

const S = T0 / 1000;

interface Pattern {
  readonly pattern: string;
  readonly level: string;
  readonly samples: readonly (readonly [number, number])[];
}

const countOf = ({ samples }: Pattern) => samples.reduce((sum, [, count]) => sum + count, 0);

async function lokiOfSteps(): Promise<TestLoki> {
  const loki = await TestLoki.start();
  loki.runs.write('node-0', [
    ...Array.from({ length: 30 }, (_, i) =>
      line(i * 100, i % 2, 'info', { step: i, msg: `step ${i} took ${i} ms` }),
    ),
    line(9000, 0, 'info', { msg: 'step 99 took 9 ms' }),
    line(9500, 0, 'error', { msg: 'step 99 took 9 ms' }),
    'plain text of a library',
  ]);
  return loki;
}

it('counts lines by template, level and step, those of most lines first', async () => {
  const loki = await lokiOfSteps();
  const { status, data } = await loki.get('patterns', { query: '{run="r1"}', ...ALL, step: '1s' });
  expect(status).toBe('success');
  const template = '<_>"msg":"step <_> took <_> ms"<_>';
  expect(data).toEqual([
    {
      pattern: template,
      level: 'info',
      samples: [
        [S, 10],
        [S + 1, 10],
        [S + 2, 10],
        [S + 3, 0],
        [S + 8, 0],
        [S + 9, 1],
      ],
    },
    { pattern: 'plain text of a library', level: 'warn', samples: [[S + 9, 1]] },
    { pattern: template, level: 'error', samples: [[S + 9, 1]] },
  ]);
  const byForm = await loki.get(
    'patterns',
    {},
    { method: 'POST', body: new URLSearchParams({ query: '{run="r1",level="error"}', ...ALL }) },
  );
  expect(byForm.data.map(({ level }: Pattern) => level)).toEqual(['error']);
});

it('gives patterns that select their own lines', async () => {
  const loki = await lokiOfSteps();
  const { data } = await loki.get('patterns', { query: '{run="r1"}', ...ALL, step: '10s' });
  for (const each of data as Pattern[]) {
    const { pattern, level } = each;
    const query = `sum(count_over_time({run="r1"} |> ${JSON.stringify(pattern)} | detected_level=${JSON.stringify(level)} [20s]))`;
    const counted = await loki.get('query', { query, time: ns(10_000) });
    expect(counted.data.result[0]?.value[1], query).toBe(String(countOf(each)));
  }
});

it('tells Logs Drilldown what it may ask for', async () => {
  const loki = await TestLoki.start();
  const { limits, pattern_ingester_enabled, version } = await loki.get('drilldown-limits');
  expect({ pattern_ingester_enabled, version }).toEqual({ pattern_ingester_enabled: true, version: '1.2.3' });
  const { max_entries_limit_per_query: most } = limits;
  const query = { query: '{run="r1"}', ...ALL };
  await loki.get('query_range', { ...query, limit: most });
  await expect(loki.get('query_range', { ...query, limit: most + 1 })).rejects.toThrow('max entries limit');
});

it('gives the 300 patterns of most lines', async () => {
  const loki = await TestLoki.start();
  // Shapes without a word are all different templates. By night there are more lines than the limit of counted lines.
  const shapes = Array.from({ length: 320 }, (_, i) =>
    i.toString(2).replaceAll('0', '(').replaceAll('1', ','),
  );
  const numLines = NIGHTLY ? 100_000 : 8_000;
  const old = NIGHTLY ? Array.from({ length: 1_000 }, () => line(0, 0, 'info', { msg: 'old' })) : [];
  const lines = Array.from({ length: numLines }, (_, i) =>
    line(1 + (i >> 6), 0, 'info', { msg: i < 300 * 20 ? shapes[i % 300] : shapes[i % 320] }),
  );
  loki.runs.write('node-0', [...old, ...lines]);
  const { data } = await loki.get('patterns', { query: '{run="r1"}', ...ALL, step: '10s' });
  const counted = (data as Pattern[]).map(countOf);
  expect(counted).toHaveLength(300);
  expect(counted).toEqual(counted.toSorted((a, b) => b - a));
  expect(counted.at(-1)).toBeGreaterThan(Math.floor((numLines - 300 * 20) / 320) + 1);
  expect((data as Pattern[]).some(({ pattern }) => pattern.includes('old'))).toBe(false);
});
