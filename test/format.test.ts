import { describe, expect, it, onTestFinished } from 'vitest';
import { formatTable, wrapped } from '../src/format.js';

const widest = (table: string) => Math.max(...table.split('\n').map(({ length }) => length));

const WIDE = [
  ['', 'a head of many words, all of them short', 'operation', 'took'],
  ['rank 3', '12.5 ms', 'all-to-all combine gradient of layer 12 (operation 7)', '1.5 ms'],
  ['rank 4', '9.5 ms', 'none', '12.5 ms'],
];

describe('a table', () => {
  it('has text to the left and numbers to the right', () => {
    const rows = [
      ['', 'size', 'name'],
      ['a', '5', 'x'],
      ['bcd', '1,000', 'long name'],
    ];
    expect(formatTable(rows, { textColumns: [2] }).split('\n')).toEqual([
      '        size  name',
      '  a        5  x',
      '  bcd  1,000  long name',
    ]);
  });

  it('shows no control characters of a name, and has a line for each row', () => {
    expect(formatTable([['a\x1b[2Jb\nc', '1']])).toBe('  a\ufffd[2Jb c  1');
  });

  it('fits the terminal, by lines of whole words in the widest columns and heads', () => {
    const table = formatTable(WIDE, { textColumns: [2], width: 80 });
    expect(table.split('\n')).toEqual([
      '           a head of many words, all of  operation                          took',
      '                             them short',
      '  rank 3                        12.5 ms  all-to-all combine gradient of   1.5 ms',
      '                                         layer 12 (operation 7)',
      '  rank 4                         9.5 ms  none                            12.5 ms',
    ]);
    expect(widest(table)).toBeLessThanOrEqual(80);
  });

  it('is wider only where a word, or a number with its unit, is', () => {
    const rows = [
      ['x'.repeat(60), 'head'],
      ['y', `${'1'.repeat(30)} ms`],
    ];
    expect(widest(formatTable(rows, { width: 80 }))).toBe(2 + 60 + 2 + 33);
  });

  it('is as wide as it is where there is no terminal, a line for each row, and asks the terminal that there is', () => {
    expect(process.stdout.columns).toBeUndefined();
    expect(formatTable(WIDE, { textColumns: [2] }).split('\n')).toHaveLength(3);
    onTestFinished(() => void Reflect.deleteProperty(process.stdout, 'columns'));
    process.stdout.columns = 90;
    expect(widest(formatTable(WIDE, { textColumns: [2] }))).toBe(90);
    // Some terminals report a width of 0.
    process.stdout.columns = 0;
    expect(formatTable(WIDE, { textColumns: [2] }).split('\n')).toHaveLength(3);
  });
});

describe('a line that is longer than the terminal', () => {
  it('is broken between words and fields of JSON, with an indent', () => {
    const line =
      '  run r: 2 nodes x 2 workers, router switch {"directory":"/data/runs/r","device":"nvme0n1"}';
    expect(wrapped(line, '    ', 40).split('\n')).toEqual([
      '  run r: 2 nodes x 2 workers, router',
      '    switch {"directory":"/data/runs/r",',
      '    "device":"nvme0n1"}',
    ]);
    expect(wrapped(line, '    ', line.length)).toBe(line);
  });

  it('keeps paths and other long words whole, and loses nothing', () => {
    const path = `/data/${'long/'.repeat(20)}end`;
    const text = wrapped(`checkpoint at step 7: ${path} is   saved`, '  ', 30);
    expect(text.split('\n')).toEqual(['checkpoint at step 7:', `  ${path}`, '  is   saved']);
  });

  it('counts columns: none for colours, two for Chinese', () => {
    expect(wrapped('\x1b[36mone two\x1b[39m', '', 7)).toBe('\x1b[36mone two\x1b[39m');
    expect(wrapped('训练 开始 three', '  ', 9)).toBe('训练 开始\n  three');
  });

  it('stays a line where there is no terminal, and asks the terminal that there is', () => {
    const line = 'word '.repeat(50).trim();
    expect(wrapped(line, '')).toBe(line);
    onTestFinished(() => void Reflect.deleteProperty(process.stdout, 'columns'));
    process.stdout.columns = 80;
    expect(widest(wrapped(line, ''))).toBeLessThanOrEqual(80);
  });
});
