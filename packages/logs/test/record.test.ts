import { describe, expect, it } from 'vitest';
import { parseRecord } from '../src/record.js';

describe('parseRecord', () => {
  it('returns every field of a record', () => {
    const record = { level: 'info', time: 1, run: 'r', rank: 3, msg: 'step', loss: 2.5 };
    expect(parseRecord(JSON.stringify(record))).toEqual(record);
  });

  it.each([
    ['pino', { level: 40, time: 1_700_000_000_000, pid: 1, hostname: 'h', msg: 'late' }],
    ['bunyan', { name: 'n', level: 40, msg: 'late', time: '2023-11-14T22:13:20.000Z', v: 0 }],
    ['winston', { level: 'warn', message: 'late', timestamp: '2023-11-14T22:13:20.000Z' }],
  ])('reads a line of %s', (_, line) => {
    const record = { level: 'warn', time: 1_700_000_000_000, msg: 'late' };
    expect(parseRecord(JSON.stringify(line))).toEqual({ ...line, ...record });
  });

  it.each([
    'free(): invalid pointer',
    '{"level":"info","time":1,"msg":"st',
    '{"a":1}',
    '[1]',
    'null',
    '{"level":"loud","time":1,"msg":"step"}',
    '{"level":45,"time":1,"msg":"step"}',
    '{"level":"info","time":"1","msg":"step"}',
    '{"level":"info","time":1e999,"msg":"step"}',
  ])('returns null for %s', (text) => {
    expect(parseRecord(text)).toBeNull();
  });
});
