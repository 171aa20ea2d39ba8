import { EventEmitter } from 'node:events';
import { describe, expect, it } from 'vitest';
import type { Coordinator } from '../../src/coordinator/coordinator.js';
import { stopOnSignals } from '../../src/coordinator/stop-signals.js';

type Heard = Pick<Coordinator, 'failure' | 'settled'>;
const UNDER_WAY: Heard = { failure: null, settled: new Promise(() => undefined) };

function listen(run: Heard) {
  const signals = new EventEmitter();
  const heard: string[] = [];
  const coordinator = {
    ...run,
    abort: (error: Error) => heard.push(error.message),
    requestStop: (signal: string) => heard.push(`stop for ${signal}`),
  };
  const forget = stopOnSignals(coordinator, () => heard.push('print'), signals);
  return { signals, heard, forget };
}

it.each([
  ['SIGINT', 'SIGINT', 'SIGINT twice: ended without a final checkpoint'],
  ['SIGINT', 'SIGTERM', 'SIGINT, then SIGTERM: ended without a final checkpoint'],
])('%s and %s', (first, second, reason) => {
  const { signals, heard, forget } = listen(UNDER_WAY);
  signals.emit(first, first);
  signals.emit(second, second);
  expect(heard).toEqual(['print', `stop for ${first}`, reason]);
  forget();
  signals.emit(first, first);
  expect(heard).toHaveLength(3);
});

describe('after the run', () => {
  it('a signal ends the process as it ends any other, if the run is finished', async () => {
    const settled = Promise.resolve({ kind: 'finished', stoppedEarly: false } as const);
    const { signals, heard } = listen({ failure: null, settled });
    await settled;
    expect(signals.eventNames()).toEqual([]);
    expect(heard).toEqual([]);
  });

  it('a signal promises no checkpoint, if the run has failed', () => {
    const { signals, heard } = listen({ ...UNDER_WAY, failure: {} as Coordinator['failure'] });
    signals.emit('SIGTERM', 'SIGTERM');
    expect(heard).toEqual([]);
  });
});
