import { describe, expect, it } from 'vitest';
import type { RunFailure } from '../../src/coordinator/coordinator-options.js';
import { RestartPolicy } from '../../src/coordinator/restart-policy.js';
import { type ErrorCode, type ErrorContext, TrainerError } from '../../src/errors.js';
import { RestartBudget } from '../../src/run/restart-budget.js';

function failure(code: ErrorCode, message: string, context: ErrorContext = {}): RunFailure {
  return { timeMs: 0, error: new TrainerError(code, message, context), culprit: null, ranks: [] };
}

const KILLED = failure('WORKER_DIED', 'worker (pid 7) was killed by SIGKILL', { rank: 1, step: 3 });
const thrown = (step: number, pid = 1) =>
  failure('INTERNAL', `x is undefined (pid ${pid})`, { rank: 1, step });

let now = 0;
const budgetOf = (maxRestarts: number, restartWindow = 100) =>
  new RestartBudget({ maxRestarts, restartWindow }, () => now);
const policy = (maxRestarts: number, restartWindow = 100) =>
  new RestartPolicy(budgetOf(maxRestarts, restartWindow));

describe('a run is restarted', () => {
  it('as often as its budget allows, of which what is long ago no longer counts', () => {
    now = 0;
    const strict = policy(2);
    expect([1, 2, 3].map(() => strict.decide(KILLED, 'running'))).toEqual([true, true, false]);
    expect(strict.whyNot).toMatch(/^2 restarts within 100 s are used up \(cluster\.maxRestarts/);

    const budget = budgetOf(2);
    const later = new RestartPolicy(budget);
    expect(later.decide(KILLED, 'running')).toBe(true);
    now = 60_000;
    expect([later.decide(KILLED, 'running'), budget.left]).toEqual([true, 0]);
    now = 101_000;
    expect([budget.left, later.decide(KILLED, 'running'), later.whyNot]).toEqual([1, true, null]);
  });

  it.each([
    ['it is to stop', KILLED, 'stopping'],
    ['its disk is full', failure('DISK_FULL', 'no space'), 'running'],
    ['its checkpoint is damaged', failure('BAD_CHECKPOINT', 'flipped'), 'starting'],
    ['it was ended', failure('ABORTED', 'SIGINT twice'), 'running'],
  ] as const)('but not when %s', (_what, cause, state) => {
    const budget = budgetOf(3);
    const strict = new RestartPolicy(budget);
    expect([strict.decide(cause, state), strict.whyNot, budget.left]).toEqual([false, null, 3]);
  });

  it('from a checkpoint where the snapshot that it starts from does not load, at no cost', () => {
    const budget = budgetOf(1);
    const strict = new RestartPolicy(budget);
    expect(strict.decide(KILLED, 'running', 'checkpoint')).toBe(true);
    const lost = failure('BAD_CHECKPOINT', 'manifest.json is missing', { rank: 1 });
    expect([strict.decide(lost, 'starting', 'snapshot'), budget.left, strict.whyNot]).toEqual([
      true,
      0,
      null,
    ]);
    const vanished = failure('NO_RESOURCE', 'ENOENT: no such file or directory', { rank: 1 });
    expect([strict.decide(vanished, 'starting', 'snapshot'), strict.whyNot]).toEqual([true, null]);
    for (const each of [lost, vanished]) expect(strict.decide(each, 'starting', 'checkpoint')).toBe(false);
  });
});

it('a run that comes no further in more generations than it may restart ends, however slowly it fails', () => {
  now = 0;
  const strict = policy(2);
  const decisions = [5, 9, 9, 4, 9].map((step) => {
    now += 200_000;
    return strict.decide({ ...KILLED, ranks: [{ step }] as unknown as RunFailure['ranks'] }, 'running');
  });
  expect(decisions).toEqual([true, true, true, true, false]);
  expect(strict.whyNot).toMatch(/^4 generations did not get past step 9/);
});

describe('the same failure twice in a row', () => {
  it('ends the run: the same rank, step and error, whatever the pid', () => {
    const strict = policy(9);
    expect(strict.decide(thrown(3, 10), 'running')).toBe(true);
    expect(strict.decide(thrown(3, 11), 'running')).toBe(false);
    expect(strict.whyNot).toMatch(/same failure occurred twice in a row/);
  });

  it('is not what came at another step, or from outside, or with another in between', () => {
    const strict = policy(9);
    const stopped = failure('WORKER_HUNG', 'worker (pid 7) has been stopped (SIGSTOP) for 5.1 s', {
      rank: 1,
      step: 3,
    });
    for (const each of [thrown(3), thrown(4), KILLED, KILLED, thrown(4), stopped, stopped])
      expect(strict.decide(each, 'running')).toBe(true);
  });

  it('is also a crash in native code', () => {
    const strict = policy(9);
    const crashed = failure('WORKER_DIED', 'worker (pid 7) was killed by SIGSEGV', { rank: 1, step: 2 });
    expect([strict.decide(crashed, 'running'), strict.decide(crashed, 'running')]).toEqual([true, false]);
  });

  it('is also a worker that runs out of memory at the same step', () => {
    const strict = policy(9);
    const killed = failure('WORKER_DIED', 'worker (pid 7) was killed by SIGKILL, probably out of memory', {
      step: 2,
    });
    expect([strict.decide(killed, 'running'), strict.decide(killed, 'running')]).toEqual([true, false]);
  });
});
