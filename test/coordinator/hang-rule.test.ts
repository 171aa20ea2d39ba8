import { describe, expect, it } from 'vitest';
import { timeoutsOf } from '../../src/config/timeouts.js';
import { findHangs } from '../../src/coordinator/hang-rule.js';
import type { RankView } from '../../src/run/run-listener.js';

const rank = (index: number, changes: Partial<RankView> = {}): RankView => ({
  rank: index,
  node: index >> 1,
  pid: 100 + index,
  step: 5,
  phase: 'forward',
  processState: 'R',
  operation: 'all-to-all dispatch layer 2 (operation 812)',
  layer: 2,
  sequence: 812,
  residentBytes: 1,
  idleMs: 50,
  waitingFor: -1,
  stalledMs: 0,
  stoppedMs: 0,
  lastHeardMs: 100,
  ...changes,
});
const waiting = (index: number, waitingFor: number, stalledMs: number) =>
  rank(index, { waitingFor, stalledMs });
const behind = (index: number, idleMs: number, changes: Partial<RankView> = {}) =>
  rank(index, { sequence: 811, operation: 'after all-gather counts', idleMs, ...changes });

const hangs = (...ranks: RankView[]) => findHangs(ranks, timeoutsOf({ collectiveTimeoutS: 10 }));

describe('a rank hangs', () => {
  it('that makes no progress while others wait for it, with the collective and who is missing', () => {
    expect(hangs(waiting(0, 2, 7_600), waiting(1, 2, 7_700), waiting(2, 3, 7_500), behind(3, 7_600))).toEqual(
      [
        {
          rank: 3,
          node: 1,
          reason:
            'has made no progress for 7.6 s; all-to-all dispatch layer 2 (operation 812): missing ranks {3}',
        },
      ],
    );
  });

  it('that has come to the collective and does not go on in it', () => {
    expect(hangs(waiting(0, 1, 8_000), rank(1, { idleMs: 8_000 }))).toMatchObject([
      {
        rank: 1,
        reason: expect.stringMatching(/operation 812\): rank 1 entered it, but makes no progress$/),
      },
    ]);
  });

  it('that a signal has stopped, whether others wait or not', () => {
    expect(hangs(rank(0), behind(1, 5_100, { stoppedMs: 5_100, processState: 'T' }))).toMatchObject([
      { rank: 1, reason: 'has been stopped (SIGSTOP) for 5.1 s' },
    ]);
  });

  it('that has no other to wait for it and does nothing for as long as a start may take', () => {
    expect(hangs(rank(0, { idleMs: 120_000 }))).toMatchObject([{ rank: 0 }]);
  });
});

describe('no rank hangs', () => {
  it.each<[string, RankView[]]>([
    ['while all compute for long', [rank(0, { idleMs: 60_000 }), rank(1, { idleMs: 60_000 })]],
    ['that others have not waited for long', [waiting(0, 1, 2_000), behind(1, 9_000)]],
    ['while bytes move to those that wait', [waiting(0, 1, 0), behind(1, 9_000)]],
    ['that waits itself', [waiting(0, 1, 9_000), behind(1, 40, { waitingFor: 2, stalledMs: 9_000 })]],
    ['for a stop of 3 s', [waiting(0, 1, 3_000), behind(1, 3_000, { stoppedMs: 3_000, processState: 'T' })]],
    ['that has ended', [waiting(0, 1, 9_000), behind(1, 9_000, { processState: 'X' })]],
    ['that writes a checkpoint alone', [rank(0, { idleMs: 200_000, phase: 'checkpoint' })]],
    ['that validates alone, on much text', [rank(0, { idleMs: 200_000, phase: 'validate' })]],
    ['before the start', [rank(0, { idleMs: 200_000, phase: 'starting', sequence: 0 })]],
  ])('%s', (_what, ranks) => expect(hangs(...ranks)).toEqual([]));
});
