import { EventEmitter } from 'node:events';
import { expect, it } from 'vitest';
import { stopOnSignals } from '../../src/coordinator/stop-signals.js';

it.each([
  ['SIGINT', 'SIGINT', 'SIGINT twice: ended without a final checkpoint'],
  ['SIGINT', 'SIGTERM', 'SIGINT, then SIGTERM: ended without a final checkpoint'],
])('%s and %s', (first, second, reason) => {
  const process = new EventEmitter();
  const heard: string[] = [];
  const forget = stopOnSignals(
    {
      abort: (error) => heard.push(error.message),
      requestStop: (signal) => heard.push(`stop for ${signal}`),
    },
    () => undefined,
    process,
  );
  process.emit(first, first);
  process.emit(second, second);
  expect(heard).toEqual([`stop for ${first}`, reason]);
  forget();
  process.emit(first, first);
  expect(heard).toHaveLength(2);
});
