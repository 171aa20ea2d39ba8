import { describe, expect, it } from 'vitest';
import { parseRecord } from '../src/record.js';

describe('parseRecord', () => {
  it('returns every field of a record', () => {
    const record = { level: 'info', time: 1, run: 'r', rank: 3, msg: 'step', loss: 2.5 };
    expect(parseRecord(JSON.stringify(record))).toEqual(record);
  });

  it.each([
    'free(): invalid pointer',
    '{"level":"info","time":1,"msg":"st',
    '{"a":1}',
    '[1]',
    'null',
    '{"level":"loud","time":1,"msg":"step"}',
    '{"level":"info","time":"1","msg":"step"}',
    '{"level":"info","time":1e999,"msg":"step"}',
  ])('returns null for %s', (text) => {
    expect(parseRecord(text)).toBeNull();
  });
});
