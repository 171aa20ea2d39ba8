import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { timeoutsOf } from '../../src/config/timeouts.js';
import { FailureJudge } from '../../src/coordinator/failure-judge.js';
import { Membership } from '../../src/coordinator/membership.js';
import { endUnknown, type RootCause } from '../../src/coordinator/root-cause.js';
import type { WorkerFailure } from '../../src/rpc/generated/messages.js';
import { VERSION } from '../../src/rpc/version.js';

const BROKEN = endUnknown('its session broke');
const KILLED = { how: 'was killed by SIGKILL', exitCode: null, signal: 'SIGKILL' };

/** Makes a judge for a run of two nodes with a rank each, of which the second has reported its end. */
function judgeOfTwo() {
  const members = new Membership('r', 2, timeoutsOf({ collectiveTimeoutS: 10 }));
  for (const [i, host] of ['a', 'b'].entries())
    members.join({ host, pid: 10 + i, dataAddress: `${host}:1`, version: VERSION });
  const verdicts: RootCause[] = [];
  const judge = new FailureJudge({
    members,
    numNodes: 2,
    workersPerNode: 1,
    progress: new Map(),
    slowLink: null,
    lastStep: () => 5,
    isOver: () => false,
    missedMs: () => 0,
    onVerdict: (cause) => verdicts.push(cause),
  });
  const aborted: WorkerFailure = {
    rank: 1,
    pid: 21,
    code: 'ABORTED',
    message: 'rank 1 stops',
    step: 5,
    layer: -1,
    operation: '',
    timeMs: 0,
    exitCode: 0,
    signal: '',
  };
  return { members, verdicts, judge, aborted };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('the judge of a failed run', () => {
  it('waits a moment for how a lost node ended, where its broken session is heard of first', () => {
    const { members, verdicts, judge, aborted } = judgeOfTwo();
    judge.lose(members.get(0), BROKEN);
    judge.fail(aborted);
    vi.advanceTimersByTime(100);
    expect(verdicts).toEqual([]);
    judge.restate(members.get(0), KILLED);
    judge.fail(aborted);
    judge.close();
    expect(verdicts).toHaveLength(1);
    expect(verdicts[0]).toMatchObject({
      error: { code: 'NODE_LOST' },
      culprit: { pid: 10, signal: 'SIGKILL' },
    });
  });

  it('does not wait long for it', () => {
    const { members, verdicts, judge, aborted } = judgeOfTwo();
    judge.lose(members.get(0), BROKEN);
    judge.fail(aborted);
    vi.advanceTimersByTime(1_000);
    judge.close();
    expect(verdicts).toHaveLength(1);
    expect(verdicts[0]).toMatchObject({ error: { code: 'NODE_LOST' }, culprit: { pid: 10, signal: null } });
  });

  it('blames the first lost node, whatever is heard of a second one', () => {
    const { members, verdicts, judge } = judgeOfTwo();
    judge.lose(members.get(0), BROKEN);
    judge.lose(members.get(1), BROKEN);
    judge.restate(members.get(1), { how: 'ended with code 3', exitCode: 3, signal: null });
    expect(verdicts).toEqual([]);
    judge.restate(members.get(0), KILLED);
    judge.close();
    expect(verdicts[0]).toMatchObject({ culprit: { node: 0, signal: 'SIGKILL' } });
  });

  it('judges nothing once it is closed, whatever breaks after that', () => {
    const { members, verdicts, judge, aborted } = judgeOfTwo();
    judge.close();
    judge.lose(members.get(0), BROKEN);
    judge.fail(aborted);
    vi.advanceTimersByTime(10_000);
    expect(verdicts).toEqual([]);
  });
});
