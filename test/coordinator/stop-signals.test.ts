import { EventEmitter } from 'node:events';
import { expect, it } from 'vitest';
import { stopOnSignals } from '../../src/coordinator/run-host.js';

function listen(isOver = false) {
  const signals = new EventEmitter();
  const heard: string[] = [];
  const leader = {
    isOver,
    abort: (error: Error) => heard.push(error.message),
    requestStop: (signal: string) => heard.push(`stop for ${signal}`),
  };
  const stop = stopOnSignals(leader, () => heard.push('print'), signals);
  return { signals, heard, stop };
}

it.each([
  ['SIGINT', 'SIGINT', 'SIGINT twice: ended without a final checkpoint'],
  ['SIGINT', 'SIGTERM', 'SIGINT, then SIGTERM: ended without a final checkpoint'],
])('%s and %s', (first, second, reason) => {
  const { signals, heard, stop } = listen();
  expect(stop.any).toBe(false);
  signals.emit(first, first);
  signals.emit(second, second);
  expect(heard).toEqual(['print', `stop for ${first}`, reason]);
  stop.forget();
  signals.emit(first, first);
  expect(heard).toHaveLength(3);
  expect(signals.eventNames()).toEqual([]);
  expect(stop.any).toBe(true);
});

it('a signal promises no checkpoint, once the run has ended', () => {
  const { signals, heard, stop } = listen(true);
  signals.emit('SIGTERM', 'SIGTERM');
  expect(heard).toEqual([]);
  expect(stop.any).toBe(true);
});
