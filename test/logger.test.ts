import { describe, expect, it } from 'vitest';
import { parseLogLine } from '../src/logger.js';

describe('parseLogLine', () => {
  it('keeps what is not a log line as a warning', () => {
    expect(parseLogLine('free(): invalid pointer')).toMatchObject({
      level: 'warn',
      msg: 'free(): invalid pointer',
    });
    expect(parseLogLine('{"a":1}')).toMatchObject({ level: 'warn', msg: '{"a":1}' });
  });
});
