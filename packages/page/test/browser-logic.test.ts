import { describe, expect, it } from 'vitest';
import { axisNumbers, formatCount, formatElapsed } from '../src/browser/format.js';
import { levelOf } from '../src/browser/levels.js';
import { signatureOf } from '../src/browser/logs/dedup.js';
import { extrasOf, fieldOf, originOf, parseLine } from '../src/browser/logs/log-line.js';
import {
  errorColumn,
  highlightOf,
  isMetricQuery,
  levelsIn,
  marked,
  withField,
  withLabel,
  withLevels,
} from '../src/browser/logs/query-edit.js';
import { StepClock } from '../src/browser/overview/step-clock.js';
import { DEFAULTS, formatState, type PageState, parseState } from '../src/browser/page-state.js';
import { logTicks, roundNumbers, roundTicks } from '../src/browser/ticks.js';

describe('the state of the page in its address', () => {
  it('comes back as it went', () => {
    const state: PageState = {
      view: 'logs',
      run: 'tiny-1',
      overlays: ['a', 'b'],
      axis: 'time',
      range: [10.5, 200],
      record: 120,
      layer: '3',
      smooth: 'medium',
      hidden: ['loss:zh, en', 'memory:rank 1'],
      load: 'dropped',
      outliers: true,
      log: ['loss', 'speed'],
      chart: 'loss',
      openLayers: [],
      openNodes: ['node2'],
      query: '{run="a", level=~"warn|error"} |= "50 % & more #1" | json',
      from: '5m',
      to: '1700000000000',
      tab: 'patterns',
      order: 'oldest',
      wrap: false,
      dedup: 'numbers',
      columns: ['step', 'loss'],
      live: true,
      line: '1700000000000000001',
      card: 'flight',
      step: 12,
      generation: 2,
      recorded: 50,
      sequence: 0,
      token: 12,
      expert: '2.7',
    };
    expect(parseState(formatState(state))).toEqual(state);
    expect(formatState(DEFAULTS)).toBe('#');
    expect(parseState('')).toEqual(DEFAULTS);
  });

  it('takes nothing that makes no sense', () => {
    expect(
      parseState(
        '#view=admin&axis=x&range=5,1&dedup=all&wrap=yes&smooth=much&outliers=yes&step=-1&generation=x&recorded=0&sequence=-1&token=1.5&expert=2',
      ),
    ).toEqual(DEFAULTS);
  });
});

describe('buttons that edit a query', () => {
  it('add a label to the selector, in place of what contradicts it', () => {
    expect(withLabel('{run="a"}', 'rank', '=', '3')).toBe('{run="a", rank="3"}');
    expect(withLabel('{run="a", rank="3"} |= "x"', 'rank', '!=', '3')).toBe('{run="a", rank!="3"} |= "x"');
    expect(withLabel('{run="a", rank!="3"}', 'rank', '!=', '4')).toBe('{run="a", rank!="3", rank!="4"}');
    expect(withLabel('{run="a", rank!="3"}', 'rank', '=', '4')).toBe('{run="a", rank="4"}');
    expect(withLabel('{run=~"a|}b"}', 'host', '=', 'say "hi"')).toBe('{run=~"a|}b", host="say \\"hi\\""}');
    expect(withLabel('sum(rate({run=`a`}[1m]))', 'rank', '=', '0')).toBe(
      'sum(rate({run=`a`, rank="0"}[1m]))',
    );
    expect(withLabel('no selector', 'rank', '=', '0')).toBe('no selector');
  });

  it('add a field behind the json stage, once', () => {
    expect(withField('{run="a"}', 'step', '=', '4')).toBe('{run="a"} | json | step="4"');
    expect(withField('{run="a"} | json', 'step', '!=', '4')).toBe('{run="a"} | json | step!="4"');
    expect(withField('{run="a"} | json | step="4"', 'step', '=', '4')).toBe('{run="a"} | json | step="4"');
  });

  it('limit the levels, and lift the limit', () => {
    const one = withLevels('{run="a"} |= "x"', ['error']);
    expect(one).toBe('{run="a", level="error"} |= "x"');
    expect(levelsIn(one)).toEqual(['error']);
    const two = withLevels(one, ['warn', 'error']);
    expect(two).toBe('{run="a", level=~"warn|error"} |= "x"');
    expect(levelsIn(two)).toEqual(['warn', 'error']);
    expect(withLevels(two, [])).toBe('{run="a"} |= "x"');
    // The server refuses a selector without a matcher, so one that matches every run takes the place of the level.
    expect(withLevels('{level="info"} |= "x"', [])).toBe('{run=~".+"} |= "x"');
    expect(withLevels('{level=~"info", rank!="3", host=~".*"}', [])).toBe(
      '{run=~".+", rank!="3", host=~".*"}',
    );
    expect(levelsIn('{run="a", level!="debug"}')).toEqual([]);
  });

  it('know a metric query, and where an error is', () => {
    expect(isMetricQuery(' {run="a"}')).toBe(false);
    expect(isMetricQuery('sum(count_over_time({run="a"}[1m]))')).toBe(true);
    expect(errorColumn('parse error at line 1, col 6: syntax error', '{run=')).toBe(5);
    expect(errorColumn('parse error at line 1, col 99: x', '{run=')).toBe(5);
    expect(errorColumn('too many lines', '{run=')).toBeNull();
  });
});

describe('marks of what was searched', () => {
  const found = (query: string, text: string) =>
    marked(text, highlightOf(query))
      .filter(({ isMatch }) => isMatch)
      .map(({ text: piece }) => piece);

  it('are words and patterns of line filters, never of the selector', () => {
    expect(found('{run="loss"} |= "a.b" |~ "lo+ss" != "x"', 'a.b axb looss x')).toEqual(['a.b', 'looss']);
    expect(found('{run="a"} |~ `(?i)nan`', 'NaN')).toEqual(['NaN']);
    expect(found('{run="a"}', 'a')).toEqual([]);
  });

  it('do without patterns that JavaScript has not', () => {
    expect(highlightOf('{a="b"} |~ "(?P<x>y"')).toBeNull();
  });

  it('leave the text as it is', () => {
    const text = '<b>bold</b> & co';
    const pieces = marked(text, highlightOf('{a="b"} |= "b"'));
    expect(pieces.map((piece) => piece.text).join('')).toBe(text);
  });
});

describe('a line of the log', () => {
  const line = parseLine(
    { run: 'a', rank: '3', level: 'warn' },
    '1700000000000000001',
    '{"level":"warn","time":1,"rank":3,"step":7,"msg":"slow","part":{"name":"forward"},"ms":1.23456789,"tags":["x"]}',
  );

  it('is taken apart', () => {
    expect(line).toMatchObject({ level: 'warn', message: 'slow', timeMs: 1_700_000_000_000 });
    expect(line.fields).toEqual({
      rank: '3',
      step: '7',
      part_name: 'forward',
      ms: '1.23456789',
      tags: '["x"]',
    });
    expect(originOf(line)).toBe('r3');
    // The line is about rank 3, but written by the coordinator.
    expect(originOf({ ...line, labels: { ...line.labels, source: 'coordinator' } })).toBe('coordinator');
    expect(fieldOf(line, 'run')).toBe('a');
    expect(extrasOf(line)).toBe('part_name=forward ms=1.2346 tags=["x"]');
    const record = {
      msg: 'validated',
      domains: [
        { domain: 'en', loss: 3.214567 },
        { domain: 'zh', loss: 4 },
      ],
    };
    expect(extrasOf(parseLine({}, '1', JSON.stringify(record)))).toBe(
      'domains=[domain=en loss=3.2146, domain=zh loss=4]',
    );
    const noList = { msg: 'x', text: '[{ as typed' };
    expect(extrasOf(parseLine({}, '1', JSON.stringify(noList)))).toBe('text=[{ as typed');
  });

  it('may be no JSON', () => {
    const text = parseLine({ source: 'node-1' }, '1', '{not json} FATAL: out of memory');
    expect(text).toMatchObject({ message: '{not json} FATAL: out of memory', level: 'fatal', fields: {} });
    expect(originOf(text)).toBe('node-1');
    expect(levelOf('Warn')).toBe('warn');
    expect(levelOf(undefined)).toBe('unknown');
  });

  it('is like another with the same text, with the same text but for numbers, or with the same signs', () => {
    const [a, b, c] = ['took 12.5ms at 10.0.0.1', 'took 900s at 10.0.0.2', 'lost 12.5ms at 10.0.0.1'].map(
      (msg) => parseLine({ level: 'info' }, '1', JSON.stringify({ msg })),
    );
    const alike = (kind: PageState['dedup'], x: typeof a, y: typeof a) => {
      const signature = signatureOf(x, kind);
      return signature !== null && signature === signatureOf(y, kind);
    };
    expect(alike('none', a, a)).toBe(false);
    expect([alike('exact', a, a), alike('exact', a, b)]).toEqual([true, false]);
    expect([alike('numbers', a, b), alike('numbers', a, c)]).toEqual([true, false]);
    expect(alike('signature', a, c)).toBe(true);
  });
});

describe('steps and times', () => {
  it('turn into each other, also in a pause and beyond the ends', () => {
    const clock = new StepClock([1, 2, 3], [1_000, 2_000, 12_000], 500);
    expect([0, 1, 2, 2.5, 3, 4].map((step) => clock.timeOf(step))).toEqual([
      500, 1_000, 2_000, 7_000, 12_000, 22_000,
    ]);
    for (const step of [0.25, 1, 1.5, 2.9, 3.2]) expect(clock.stepAt(clock.timeOf(step))).toBeCloseTo(step);
    expect(new StepClock([], [], 5).timeOf(7)).toBe(5);
  });

  it('have round ticks', () => {
    expect(roundTicks(12_345, 61_000, 6)).toEqual([20_000, 30_000, 40_000, 50_000, 60_000]);
    expect(roundTicks(0, 10, 5)).toEqual([0]);
    expect(roundTicks(1_000, 31_000, 3, 1_000)).toEqual([1_000, 11_000, 21_000, 31_000]);
    expect(formatElapsed(5_400_000)).toBe('1 h 30 m');
    expect(axisNumbers([0, 0.25, 0.5])).toEqual(['0.00', '0.25', '0.50']);
    expect([999, 9_999, 20_500, 1_234_567].map(formatCount)).toEqual(['999', '9999', '20.5k', '1.23M']);
    expect(axisNumbers([0, 20_000, 40_000])).toEqual(['0', '20k', '40k']);
    expect(axisNumbers([0, 50, 100], ' %')).toEqual(['0 %', '50 %', '100 %']);
  });

  it('have round numbers on any axis, also on a logarithmic one', () => {
    expect(roundNumbers(2.93, 3.31, 5)).toEqual([3, 3.1, 3.2, 3.3]);
    expect(roundNumbers(0, 1, 10)).toEqual([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]);
    expect(roundNumbers(5, 5, 4)).toEqual([5]);
    expect(logTicks(0.09, 12, 8)).toEqual([0.1, 0.2, 0.5, 1, 2, 5, 10]);
    expect(logTicks(1e-6, 1e6, 6)).toEqual([1e-6, 1e-4, 0.01, 1, 100, 1e4, 1e6]);
    expect(logTicks(2.9, 8.1, 6)).toEqual([3, 4, 5, 6, 7, 8]);
  });
});
