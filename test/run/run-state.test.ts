import { describe, expect, it } from 'vitest';
import { TrainerError } from '../../src/errors.js';
import { type RunEvent, type RunState, transition } from '../../src/run/run-state.js';

const error = new TrainerError('INTERNAL', 'x');
const EVENTS: readonly RunEvent[] = [
  { type: 'nodes-complete' },
  { type: 'workers-ready' },
  { type: 'stop', reason: 'SIGINT', cause: null },
  { type: 'all-finished', stoppedEarly: false },
  { type: 'failure', error, restarts: false },
  { type: 'failure', error, restarts: true },
];
const STATES: readonly RunState[] = [
  { kind: 'waiting' },
  { kind: 'starting' },
  { kind: 'running' },
  { kind: 'stopping', reason: 'SIGINT', cause: null },
  { kind: 'finished', stopped: null },
  { kind: 'failed', error },
  { kind: 'restarting', error },
];

describe('transition', () => {
  it('is this table', () => {
    const table = STATES.map((state) => [
      state.kind,
      ...EVENTS.map((event) => transition(state, event).kind),
    ]);
    expect(table).toEqual([
      // The columns are: state, nodes-complete, workers-ready, stop, all-finished, failure, failure with a restart.
      ['waiting', 'starting', 'waiting', 'waiting', 'finished', 'failed', 'restarting'],
      ['starting', 'starting', 'running', 'starting', 'finished', 'failed', 'restarting'],
      ['running', 'running', 'running', 'stopping', 'finished', 'failed', 'restarting'],
      ['stopping', 'stopping', 'stopping', 'stopping', 'finished', 'failed', 'restarting'],
      ['finished', 'finished', 'finished', 'finished', 'finished', 'finished', 'finished'],
      ['failed', 'failed', 'failed', 'failed', 'failed', 'failed', 'failed'],
      ['restarting', 'restarting', 'restarting', 'restarting', 'restarting', 'restarting', 'restarting'],
    ]);
  });

  it('lets a run that stops for an error end with that one, whatever comes after', () => {
    const cause = new TrainerError('INTERNAL', 'first');
    const stop: RunEvent = { type: 'stop', reason: 'crash', cause };
    for (const state of STATES.slice(2, 4)) {
      const stopping = transition(state, stop);
      expect(stopping).toEqual({ kind: 'stopping', reason: 'crash', cause });
      expect(transition(stopping, { ...stop, cause: error })).toBe(stopping);
      for (const last of EVENTS.slice(3, 5))
        expect(transition(stopping, last)).toEqual({ kind: 'failed', error: cause });
    }
  });
});
