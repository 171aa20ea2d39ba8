import { describe, expect, it } from 'vitest';
import { LogEngine } from '../../src/logql/log-engine.js';
import { evaluate, gridOf, logLine, randomNumbers, rangeOf, select, T0, TestRuns } from '../support.js';

/**
 * Two ranks log a line each second: rank 0 losses 1, 2, 3 ..., rank 1 ten times as much; at 4 s rank 0 logs a warning.
 */
function engineOfTen(): LogEngine {
  const runs = new TestRuns();
  const line = (atS: number, rank: number, more: object = {}) =>
    logLine({ atMs: atS * 1000, node: 0, rank, loss: atS * (rank === 0 ? 1 : 10), ...more });
  runs.write('node-0', [
    ...[1, 2, 3, 5, 6].map((s) => line(s, 0)),
    line(4, 0, { level: 'warn' }),
    ...[1, 2, 3].map((s) => line(s, 1)),
  ]);
  return new LogEngine(runs.catalog);
}

const R = '{run="r1"}';
const BYTES = Buffer.byteLength(logLine({ atMs: 1000, node: 0, rank: 1, loss: 10 }));

/** Abbreviations used in the queries below. */
const PARTS: Readonly<Record<string, string>> = {
  R,
  ONE: '{run="r1", rank="1"}',
  LOSS: `${R} | json | unwrap loss`,
  COUNTS: `count_over_time(${R}[2s])`,
  BY_RANK: `sum by (rank) (count_over_time(${R}[2s]))`,
  OF_ONE: 'sum by (rank) (count_over_time({run="r1", rank="1"}[2s]))',
  SUMS: `sum by (rank) (sum_over_time(${R} | json | unwrap loss [2s]))`,
};
const written = (query: string) => query.replace(/\b[A-Z_]+\b/g, (name) => PARTS[name] ?? name);
/** The labels of a stream, abbreviated to its level and rank. */
const STREAM =
  /detected_level=(\w+),generation=1,level=\1,node=0,rank=(\d),run=r1,service_name=locmoe,source=worker/;

/**
 * The series of a query at 2, 4 and 6 s as `labels: values`, with `-` for a missing value; or the number of a scalar
 * query.
 */
async function shown(query: string): Promise<string> {
  const value = await evaluate(engineOfTen(), written(query), gridOf(2, 2, 3));
  if (typeof value === 'number') return String(value);
  const series = Object.entries(value).map(([labels, values]) => {
    const name = labels.replace(STREAM, '$1 of $2') || 'all';
    return `${name}: ${values.map((each) => each ?? '-').join(' ')}`;
  });
  return series.sort().join('; ');
}

describe('a metric query', () => {
  it.each([
    ['count_over_time(ONE[2s])', 'info of 1: 2 1 -'],
    ['sum(COUNTS)', 'all: 4 3 2'],
    ['BY_RANK', 'rank=0: 2 2 2; rank=1: 2 1 -'],
    ['sum by (level) (count_over_time(R[10s]))', 'level=info: 4 6 8; level=warn: - 1 1'],
    ['sum(rate(R[2s]))', 'all: 2 1.5 1'],
    ['sum(count_over_time(R[2s] offset 2s))', 'all: - 4 3'],
    ['sum(bytes_over_time(ONE[2s]))', `all: ${2 * BYTES} ${BYTES} -`],
    ['sum(bytes_rate(ONE[2s]))', `all: ${BYTES} ${BYTES / 2} -`],
    ['sum(bytes_over_time(ONE | line_format "ab" [2s]))', 'all: 4 2 -'],
    ['sum(bytes_over_time(R | line_format "" [2s]))', 'all: 0 0 0'],
    ['sum(count_over_time(R | json | loss > 2 [2s]))', 'all: 2 3 2'],
    ['sum(count_over_time(R | json | msg > 1 and loss > 100 [2s]))', ''],
    ['sum by (loss) (count_over_time(ONE | json [2s]))', 'loss=10: 1 - -; loss=20: 1 - -; loss=30: - 1 -'],
    [
      'sum_over_time(R | json loss | unwrap loss [2s])',
      'info of 0: 3 3 11; info of 1: 30 30 -; warn of 0: - 4 -',
    ],
    ['sum_over_time(ONE | json loss | unwrap loss [2s] offset 2s)', 'info of 1: - 30 30'],
    ['avg_over_time(LOSS [4s]) by (rank)', 'rank=0: 1.5 2.5 4.5; rank=1: 15 20 30'],
    ['min_over_time(LOSS [4s]) by (rank)', 'rank=0: 1 1 3; rank=1: 10 10 30'],
    ['max_over_time(LOSS [4s]) by (rank)', 'rank=0: 2 4 6; rank=1: 20 30 30'],
    ['max_over_time(LOSS | loss > 1 [2s]) by ()', 'all: 20 30 6'],
    ['quantile_over_time(0.5, LOSS [4s]) by (rank)', 'rank=0: 1.5 2.5 4.5; rank=1: 15 20 30'],
    ['first_over_time(LOSS [4s]) by (rank)', 'rank=0: 1 1 3; rank=1: 10 10 30'],
    ['last_over_time(LOSS [4s]) by (rank)', 'rank=0: 2 4 6; rank=1: 20 30 30'],
    ['stddev_over_time(LOSS [2s]) by (rank)', 'rank=0: 0.5 0.5 0.5; rank=1: 5 0 -'],
    ['stdvar_over_time(LOSS [2s]) by (rank)', 'rank=0: 0.25 0.25 0.25; rank=1: 25 0 -'],
    ['sum(rate(LOSS [2s]))', 'all: 16.5 18.5 5.5'],
    ['sum by (rank) (rate((ONE | json | unwrap loss)[2s]))', 'rank=1: 15 15 -'],
    // The rate is extrapolated by half a second to the left, then by a second on both sides.
    ['rate_counter(ONE | json loss | unwrap loss [4s])', 'info of 1: 3.75 10 0'],
    ['absent_over_time(ONE[2s])', 'rank=1,run=r1: - - 1'],
    ['absent_over_time({run="r1", rank=~"1"} | json | unwrap none [2s])', 'run=r1: 1 1 1'],
    ['absent_over_time(R[2s])', ''],
    ['avg(BY_RANK)', 'all: 2 1.5 2'],
    ['min(BY_RANK)', 'all: 2 1 2'],
    ['max(BY_RANK)', 'all: 2 2 2'],
    ['count(BY_RANK)', 'all: 2 2 1'],
    ['stddev(SUMS)', 'all: 13.5 11.5 0'],
    ['stdvar(SUMS)', 'all: 182.25 132.25 0'],
    ['topk(1, SUMS)', 'rank=0: - - 11; rank=1: 30 30 -'],
    ['bottomk(1, SUMS)', 'rank=0: 3 7 11'],
    [
      'sum without (run, source, node, level, detected_level, generation, service_name) (COUNTS)',
      'rank=0: 2 2 2; rank=1: 2 1 -',
    ],
    ['label_replace(BY_RANK, "r", "<$1>", "rank", "([1-9])")', 'r=<1>,rank=1: 2 1 -; rank=0: 2 2 2'],
    ['label_replace(OF_ONE, "rank", "", "rank", ".*")', 'all: 2 1 -'],
    ['BY_RANK / on () group_left sum(COUNTS)', `rank=0: 0.5 ${2 / 3} 1; rank=1: 0.5 ${1 / 3} -`],
    ['sum(COUNTS) / ignoring (rank) group_right () BY_RANK', 'rank=0: 2 1.5 1; rank=1: 2 3 -'],
    [
      'BY_RANK * on () group_left (app) label_replace(vector(10), "app", "x", "", "")',
      'app=x,rank=0: 20 20 20; app=x,rank=1: 20 10 -',
    ],
    ['BY_RANK > on () group_left sum(OF_ONE)', 'rank=0: - 2 -'],
    ['sum by (__error__) (count_over_time(R | logfmt --strict [2s]))', '__error__=LogfmtParserErr: 4 3 2'],
    // The labels that the parser extracts are unused.
    ['sum(count_over_time(R | logfmt --strict [2s]))', 'all: 4 3 2'],
    ['1 / 0', 'NaN'],
    ['-1 % 0', 'NaN'],
    ['vector(1) / 0', 'all: NaN NaN NaN'],
    ['1 ^ (vector(1) / vector(0))', 'all: 1 1 1'],
    ['0x1.8p3 - -2^2', '8'],
    ['vector(1)+vector(1)', 'all: 2 2 2'],
    ['2 * 3 ^ 2', '18'],
    ['(2 * 3) ^ 2', '36'],
    ['2 ^ 3 ^ 2', '512'],
    ['7 % 4 - 1', '2'],
    ['10 - 4 - 3', '3'],
    ['10 - (4 - 3)', '9'],
    ['1 + 2 * 3 - 4 / 2', '5'],
    ['2 > bool 1 + 3', '0'],
    ['sum(COUNTS) / 2', 'all: 2 1.5 1'],
    ['10 - sum(COUNTS)', 'all: 6 7 8'],
    ['SUMS / BY_RANK', 'rank=0: 1.5 3.5 5.5; rank=1: 15 30 -'],
    ['sum by (rank, node) (COUNTS) * on (rank) BY_RANK', 'rank=0: 4 4 4; rank=1: 4 1 -'],
    ['BY_RANK > 1', 'rank=0: 2 2 2; rank=1: 2 - -'],
    ['BY_RANK > bool 1', 'rank=0: 1 1 1; rank=1: 1 0 -'],
    ['1 < OF_ONE', 'rank=1: 2 - -'],
    ['sum(OF_ONE) or vector(0)', 'all: 2 1 0'],
    ['BY_RANK unless OF_ONE', 'rank=0: 2 2 2'],
    ['BY_RANK and sum by (rank) (count_over_time({level="warn"}[2s]))', 'rank=0: - 2 -'],
  ])('%s', async (query, expected) => {
    expect(await shown(query)).toBe(expected);
  });

  it.each([
    ['BY_RANK / on () BY_RANK', 'found duplicate series on the right hand-side'],
    ['BY_RANK / on () vector(1)', 'many-to-one matching must be explicit'],
    ['vector(1) / on () group_right (rank) BY_RANK', 'grouping labels must ensure unique matches'],
    ['sum(sum_over_time(R | json | unwrap msg [2s]))', "pipeline error: 'SampleExtractionErr'"],
    ['count_over_time(R | logfmt --strict [2s])', "pipeline error: 'LogfmtParserErr'"],
    ['sum by (rank) (count_over_time(R | logfmt --strict [2s]))', "pipeline error: 'LogfmtParserErr'"],
    ['sum(count_over_time(R | logfmt --strict | a != "b" [2s]))', "pipeline error: 'LogfmtParserErr'"],
  ])('refuses %s: %s', async (query, message) => {
    await expect(shown(query)).rejects.toThrow(message);
  });

  it('takes errors away where a filter asks for it', async () => {
    expect(await shown('sum(sum_over_time(R | json | unwrap msg | __error__="" [2s]))')).toBe('');
  });

  it('orders the series of an instant query by value where it says so, else by label', async () => {
    const runs = new TestRuns();
    const ranks = [2, 0, 1, 1, 1, 2];
    runs.write(
      'node-0',
      ranks.map((rank) => logLine({ rank })),
    );
    const engine = new LogEngine(runs.catalog);
    const order = async (query: string) =>
      Object.keys(
        await evaluate(
          engine,
          query.replace('COUNTS', `sum by (rank) (count_over_time(${R}[1m]))`),
          gridOf(1, 1, 1),
        ),
      );
    expect(await order('COUNTS')).toEqual(['rank=0', 'rank=1', 'rank=2']);
    expect(await order('sort(COUNTS)')).toEqual(['rank=0', 'rank=2', 'rank=1']);
    expect(await order('sort_desc(COUNTS) + 1')).toEqual(['rank=1', 'rank=2', 'rank=0']);
    expect(await order('topk(2, COUNTS)')).toEqual(['rank=1', 'rank=2']);
    expect(await order('bottomk(2, COUNTS)')).toEqual(['rank=0', 'rank=2']);
  });

  it('sorts NaN below all numbers', async () => {
    const runs = new TestRuns();
    runs.write(
      'node-0',
      ['1', 'NaN', '2', '3'].map((v) => logLine({ v })),
    );
    const engine = new LogEngine(runs.catalog);
    const quantile = (q: number) =>
      evaluate(engine, `quantile_over_time(${q}, ${R} | json v="v" | unwrap v [1m]) by ()`, gridOf(1, 1, 1));
    expect(await quantile(0.5)).toEqual({ '': [1.5] });
    expect(await quantile(1)).toEqual({ '': [3] });
    expect(await quantile(0)).toEqual({ '': [Number.NaN] });
  });

  it('limits series', async () => {
    const runs = new TestRuns();
    runs.write(
      'node-0',
      Array.from({ length: 2_500 }, (_, i) => logLine({ node: 0, i })),
    );
    const engine = new LogEngine(runs.catalog);
    await expect(evaluate(engine, `count_over_time(${R} | json [1s])`, gridOf(0, 1, 2))).rejects.toThrow(
      'maximum of series (2000) reached',
    );
  });
});

describe('counting with the index', () => {
  const LEVELS = ['info', 'warn', 'debug'];

  /** Lines in several files, unordered in time, some in a foreign format. */
  function randomRuns(seed: number): TestRuns {
    const random = randomNumbers(seed);
    const runs = new TestRuns();
    for (const node of [0, 1, 2]) {
      let atMs = 0;
      runs.write(
        `node-${node}`,
        Array.from({ length: 3_000 }, () => {
          atMs += Math.floor(random() * 6) - 1 + (random() < 0.001 ? 20_000 : 0);
          if (random() < 0.001) return 'Segmentation fault';
          const level = LEVELS[Math.floor(random() * random() * 3)];
          return logLine({ atMs, level, node, rank: node * 2 + Math.floor(random() * 2), i: 1 });
        }),
      );
    }
    return runs;
  }

  it.each([
    [2, 0.1, 0.1],
    [3, 10, 1],
    [4, 1, 7],
  ])('equals a loop over the lines: seed %i, range %d s, step %d s', async (seed, rangeS, stepS) => {
    const engine = new LogEngine(randomRuns(seed).catalog);
    const grid = gridOf(3, stepS, 20);
    const query = (pipeline: string) =>
      `sum by (level, detected_level) (count_over_time(${R} ${pipeline} [${rangeS * 1000}ms]))`;
    const indexed = await evaluate(engine, query('| drop __error__'), grid);

    const expected: Record<string, (number | null)[]> = {};
    for (const level of LEVELS) {
      const counts: (number | null)[] = [];
      for (let point = 0; point < grid.numPoints; point++) {
        const at = grid.startMs + point * grid.stepMs - T0;
        // (t - range, t] in whole ms is [t - range + 1, t + 1).
        const range = rangeOf(Math.floor(at - rangeS * 1000) + 1, Math.floor(at) + 1);
        const lines = await select(engine, `{run="r1", level="${level}"}`, { range });
        counts.push(lines.length || null);
      }
      if (counts.some((count) => count !== null)) expected[`detected_level=${level},level=${level}`] = counts;
    }
    expect(indexed).toEqual(expected);
    // These queries give the same without the index.
    expect(await evaluate(engine, query('!= "no such text"'), grid)).toEqual(expected);
    expect(await evaluate(engine, query('| json | drop __error__'), grid)).toEqual(expected);
  });
});
