import { stripVTControlCharacters } from 'node:util';
import type { ResultLine } from '@locmoe/logs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { LogPrinter, nodeOutput } from '../../src/cli/log-printer.js';

const PLAIN = {
  json: false,
  colors: false,
  marksMatches: false,
  nowMs: 1_700_000_000_000,
  columns: () => Number.POSITIVE_INFINITY,
};
const shown = (labels: Record<string, string>, record: object | string, more: object = {}): ResultLine => ({
  text: typeof record === 'string' ? record : JSON.stringify(record),
  labels: { source: 'worker', ...labels },
  timeMs: 1_700_000_000_000,
  isContext: false,
  group: 0,
  ...more,
});
const record = (msg: string, more: object = {}) => ({
  level: 'info',
  time: 1_700_000_000_000,
  run: 'r',
  msg,
  ...more,
});

it('the log of a node is for a person at a terminal, and as it is elsewhere', () => {
  const lines = [record('node listens'), record('hello', { node: 1, rank: 2, step: 3 })].map((line) =>
    JSON.stringify({ ...line, time: Date.now() }),
  );
  const printed = (isTTY: boolean) => {
    let text = '';
    const print = nodeOutput({ isTTY, columns: 80, write: (more) => (text += more) });
    for (const line of lines) print(line);
    return stripVTControlCharacters(text).replace(/\[[\d:.]+\] /g, '');
  };
  expect(printed(true)).toBe('INFO: node            node listens\nINFO: node 1 rank 2   step 3: hello\n');
  expect(printed(false)).toBe(lines.map((line) => `${line}\n`).join(''));
});

describe('LogPrinter', () => {
  it('says who writes in a lane of one width', () => {
    const printer = new LogPrinter(PLAIN);
    const lines = [
      shown({ source: 'coordinator' }, record('hello')),
      shown({ source: 'node', node: '0' }, record('hello')),
      shown({ node: '1', rank: '12' }, record('hello')),
    ].map((line) => printer.format(line));
    expect(lines.map((line) => line.replace(/^\[[\d:.]+\] /, ''))).toEqual([
      'INFO: coordinator     hello\n',
      'INFO: node 0          hello\n',
      'INFO: node 1 rank 12  hello\n',
    ]);
  });

  it('names a day that is not today, with the zone of its times', () => {
    const printer = new LogPrinter(PLAIN);
    const at = (timeMs: number) => printer.format(shown({}, record('x', { time: timeMs }), { timeMs }));
    const DAY_MS = 86_400_000;
    const heading = /^\d{4}-\d\d-\d\d UTC[+-]\d\d:\d\d\n\[/;
    expect(at(PLAIN.nowMs)).not.toMatch(heading);
    expect(at(PLAIN.nowMs - DAY_MS)).toMatch(heading);
    expect(at(PLAIN.nowMs - DAY_MS)).not.toMatch(heading);
    expect(at(PLAIN.nowMs)).toMatch(heading);
  });

  it('shows what is no record as text, without what would steer a terminal', () => {
    const printer = new LogPrinter(PLAIN);
    const text = printer.format(shown({ level: 'error', node: '0', rank: '0' }, '\x1b[2Jboo'));
    expect(text).toMatch(/ERROR: node 0 rank 0 {3}\ufffd\[2Jboo\n$/);
    const title = printer.format(shown({}, record('\x1b]0;title\x07')));
    for (const control of ['\x1b', '\x07']) expect(title).not.toContain(control);
  });

  it('breaks a line that a terminal would break, right of the time; as JSON never', () => {
    const line = shown(
      { node: '0', rank: '0' },
      record('waits '.repeat(30).trim(), { a: 'b'.repeat(30), c: 1 }),
    );
    for (const marksMatches of [false, true]) {
      const text = new LogPrinter({ ...PLAIN, columns: () => 80, marksMatches }).format(line);
      const [first, ...rest] = text.trimEnd().split('\n');
      expect(Math.max(...[first, ...rest].map(({ length }) => length))).toBeLessThanOrEqual(80);
      const indent = ' '.repeat(marksMatches ? 17 : 15);
      expect(rest.length).toBeGreaterThan(1);
      for (const each of rest) expect(each).toMatch(new RegExp(`^${indent}\\S`));
      expect(text.split(/waits/)).toHaveLength(31);
    }
    expect(new LogPrinter({ ...PLAIN, columns: () => 80, json: true }).format(line)).toBe(`${line.text}\n`);
    expect(new LogPrinter(PLAIN).format(line).trimEnd()).not.toContain('\n');
  });

  it('marks matches and parts groups', () => {
    const printer = new LogPrinter({ ...PLAIN, marksMatches: true });
    const text = [
      shown({}, record('before'), { isContext: true, group: 1 }),
      shown({}, record('match'), { group: 1 }),
      shown({}, record('other'), { group: 2 }),
    ]
      .map((line) => printer.format(line))
      .join('');
    expect(text.split('\n').map((line) => line.replace(/\[.*\] INFO: \S*\s+/, ''))).toEqual([
      '  before',
      '> match',
      '--',
      '> other',
      '',
    ]);
  });

  it('prints series as a table with their course', () => {
    const text = new LogPrinter(PLAIN).formatMatrix([
      {
        metric: { rank: '0' },
        values: [
          [1, '0'],
          [2, '4'],
          [3, '8'],
        ],
      },
      { metric: {}, values: [[1, '1000']] },
    ]);
    expect(text.split('\n').slice(1)).toEqual([
      '{rank="0"}      8      4      8  ▁▅█',
      '{}          1,000  1,000  1,000  █',
      '',
    ]);
    expect(new LogPrinter(PLAIN).formatMatrix([])).toBe('no values\n');
  });

  it('colours only if asked to, and tells ranks apart', () => {
    const colored = new LogPrinter({ ...PLAIN, colors: true });
    const color = (rank: string) =>
      /\[(\d+)mnode 0/.exec(colored.format(shown({ node: '0', rank }, record('x'))))?.[1];
    expect(new Set(['0', '1', '2', '3'].map(color))).toEqual(new Set(['36', '32', '35', '34']));
    expect(new LogPrinter(PLAIN).format(shown({ node: '0', rank: '0' }, record('x')))).not.toContain('\x1b');
  });

  it('prints JSON lines as they are', () => {
    const line = shown({}, record('x'), { group: 1 });
    expect(new LogPrinter({ ...PLAIN, json: true }).format(line)).toBe(`${line.text}\n`);
  });

  it('fit 80 columns, however many labels and points there are', () => {
    onTestFinished(() => void Reflect.deleteProperty(process.stdout, 'columns'));
    process.stdout.columns = 80;
    const values = Array.from({ length: 60 }, (_, i): [number, string] => [
      i,
      String(i === 31 ? 999_999.5 : i),
    ]);
    const metric = { level: 'info', rank: '12', service_name: 'locmoe', source: 'worker' };
    const lines = new LogPrinter(PLAIN).formatMatrix([{ metric, values }]).trimEnd().split('\n');
    expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(80);
    // The largest of each two points.
    expect(lines[1]).toMatch(/ ▁{15}█▁{14}$/);
  });
});
