import { describe, expect, it } from 'vitest';
import { clusterSchema } from '../../src/config/schema.js';
import { GRACE, timeoutProblem, timeoutsOf } from '../../src/config/timeouts.js';

describe('the deadlines of a run', () => {
  it('are these by default', () => {
    expect(timeoutsOf({ collectiveTimeoutS: 10 })).toEqual({
      heartbeatMs: 500,
      stackMs: 1_500,
      silentMs: 3_000,
      stoppedMs: 5_000,
      hangMs: 7_500,
      lostMs: 8_000,
      collectiveMs: 10_000,
      peerKeepaliveMs: 5_000,
      sessionMs: 10_000,
      connectMs: 30_000,
      startMs: 120_000,
      saveMs: 120_000,
    });
  });

  it('fit the timers of Node at the longest that a configuration may ask for, and no longer is taken', () => {
    const collectiveTimeoutS = clusterSchema.shape.collectiveTimeoutS.unwrap().maxValue!;
    expect(Math.max(...Object.values(timeoutsOf({ collectiveTimeoutS })))).toBeLessThan(2 ** 31);
    expect(clusterSchema.safeParse({ collectiveTimeoutS: collectiveTimeoutS + 1 }).success).toBe(false);
  });

  it.each([0.5, 1, 3, 10, 60, 3600])('are in order with a collective of %d s', (collectiveTimeoutS) => {
    const timeouts = timeoutsOf({ collectiveTimeoutS });
    const { heartbeatMs, stoppedMs, hangMs, collectiveMs, silentMs, lostMs, sessionMs, connectMs, startMs } =
      timeouts;
    for (const chain of [
      [2 * heartbeatMs, stoppedMs, hangMs, hangMs + 2 * heartbeatMs, collectiveMs],
      [2 * heartbeatMs, silentMs, lostMs, sessionMs, connectMs, startMs],
    ])
      expect(chain).toEqual([...new Set(chain)].sort((a, b) => a - b));
    expect(timeoutProblem({ collectiveTimeoutS })).toBeNull();
    // The last reports of a failed generation arrive within the time that its coordinator waits for other ranks.
    expect(GRACE.lostExitMs).toBeLessThan(GRACE.abortMs);
    expect(GRACE.abortMs + GRACE.flightMs).toBeLessThan(GRACE.evidenceMs);
    expect(GRACE.abortMs + GRACE.killMs + GRACE.closeMs).toBeLessThan(GRACE.leaveMs);
    expect(GRACE.leaveMs).toBeLessThan(GRACE.endMs);
    expect(GRACE.leaveMs).toBeLessThan(GRACE.decisionMs);
  });

  it('are refused where others would give up before a stuck worker is reported', () => {
    expect(timeoutProblem({ collectiveTimeoutS: 0.4 })).toBe(
      '0.4 s is too short: the report of a stuck worker (0.4 s) would not come before the deadline of a collective (0.4 s)',
    );
  });
});
