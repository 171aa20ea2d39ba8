import { describe, expect, it } from 'vitest';
import { describeOperation, workerFailure } from '../../src/agent/worker-failure.js';
import type { RankProgress } from '../../src/collectives/control-block.js';
import { TrainerError } from '../../src/errors.js';

const operation: NonNullable<RankProgress['operation']> = {
  sequence: 41,
  purpose: 'dispatch',
  layer: 2,
  active: true,
  startedAt: 0,
  waitingFor: 1,
  stalledMs: 0,
  kind: 'all-to-all',
};
const progress: RankProgress = { pid: 77, step: 12, phase: 'forward', heartbeat: 5, operation };
const report = (error: TrainerError, at: RankProgress | null) =>
  workerFailure({ rank: 3, pid: 77, error, code: null, signal: null }, at);

describe('the failure of a worker', () => {
  it('is placed where its control block shows the worker', () => {
    const error = new TrainerError('NOT_FINITE', 'the loss is NaN');
    expect(report(error, progress)).toMatchObject({
      rank: 3,
      pid: 77,
      code: 'NOT_FINITE',
      message: 'the loss is NaN',
      step: 12,
      layer: 2,
      operation: 'forward, all-to-all dispatch layer 2 (operation 41)',
      exitCode: -1,
      signal: '',
    });
  });

  it('keeps the place that the error itself names', () => {
    const error = new TrainerError('NOT_FINITE', 'NaN', { step: 11, layer: 0, operation: 'combine' });
    expect(report(error, progress)).toMatchObject({ step: 11, layer: 0, operation: 'combine' });
  });

  it.each([
    ['no segment', null, { step: -1, layer: -1, operation: '' }],
    [
      'a worker that never attached',
      { ...progress, pid: 0, step: 0, operation: null },
      { step: 0, operation: '' },
    ],
    [
      'a worker before its first collective',
      { ...progress, operation: null },
      { layer: -1, operation: 'forward' },
    ],
  ])('of %s has no place beyond what is known', (_what, at, place) => {
    expect(report(new TrainerError('WORKER_DIED', 'gone'), at)).toMatchObject(place);
  });

  it('says how the process ended', () => {
    const error = new TrainerError('WORKER_DIED', 'gone');
    const end = (code: number | null, signal: NodeJS.Signals | null) => {
      const { exitCode, signal: name } = workerFailure({ rank: 0, pid: 1, error, code, signal }, null);
      return [exitCode, name];
    };
    expect([end(0, null), end(null, 'SIGSEGV')]).toEqual([
      [0, ''],
      [-1, 'SIGSEGV'],
    ]);
  });
});

it('an operation that is over is what the worker was in last', () => {
  const after = { ...operation, active: false, layer: undefined };
  expect(describeOperation({ ...progress, operation: after })).toBe(
    'after all-to-all dispatch (operation 41)',
  );
});
