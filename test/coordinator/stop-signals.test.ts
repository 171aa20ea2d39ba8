import { EventEmitter } from 'node:events';
import { expect, it } from 'vitest';
import { stopOnSignals } from '../../src/coordinator/stop-signals.js';

function listen(hasFailed = false) {
  const signals = new EventEmitter();
  const heard: string[] = [];
  const leader = {
    hasFailed,
    abort: (error: Error) => heard.push(error.message),
    requestStop: (signal: string) => heard.push(`stop for ${signal}`),
  };
  const forget = stopOnSignals(leader, () => heard.push('print'), signals);
  return { signals, heard, forget };
}

it.each([
  ['SIGINT', 'SIGINT', 'SIGINT twice: ended without a final checkpoint'],
  ['SIGINT', 'SIGTERM', 'SIGINT, then SIGTERM: ended without a final checkpoint'],
])('%s and %s', (first, second, reason) => {
  const { signals, heard, forget } = listen();
  signals.emit(first, first);
  signals.emit(second, second);
  expect(heard).toEqual(['print', `stop for ${first}`, reason]);
  forget();
  signals.emit(first, first);
  expect(heard).toHaveLength(3);
  expect(signals.eventNames()).toEqual([]);
});

it('a signal promises no checkpoint, if the run has failed', () => {
  const { signals, heard } = listen(true);
  signals.emit('SIGTERM', 'SIGTERM');
  expect(heard).toEqual([]);
});
