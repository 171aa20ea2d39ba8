import { describe, expect, it } from 'vitest';
import { failureLines, formatRanks } from '../../src/cli/failure-lines.js';
import { failureReport } from '../../src/coordinator/failure-report.js';
import type { Culprit } from '../../src/coordinator/root-cause.js';
import { TrainerError } from '../../src/errors.js';
import type { RankView } from '../../src/run/run-listener.js';

const rank = (number: number, more: Partial<RankView> = {}): RankView => ({
  rank: number,
  node: Math.floor(number / 2),
  pid: 100 + number,
  step: 7,
  phase: 'forward',
  operation: `all-to-all dispatch layer 2 (operation ${90 + number})`,
  processState: 'S',
  residentBytes: 1,
  idleMs: 0,
  layer: 2,
  sequence: 0,
  waitingFor: -1,
  stalledMs: 0,
  stoppedMs: 0,
  lastHeardMs: 12.4,
  ...more,
});

const CULPRIT: Culprit = {
  rank: 3,
  node: 1,
  pid: 103,
  exitCode: null,
  signal: 'SIGKILL',
  step: 7,
  layer: 2,
  operation: 'forward, all-to-all dispatch layer 2 (operation 93)',
};

const report = (
  ranks: readonly RankView[],
  culprit: Culprit | null,
  checkpoint: string | null = null,
  noticedBy = 3,
) =>
  failureReport({
    failure: {
      timeMs: 1_700_000_000_000,
      error: new TrainerError('WORKER_DIED', 'it died\n  of this', { rank: noticedBy, step: 7 }),
      culprit,
      ranks,
    },
    generation: 2,
    host: culprit && 'h1',
    resumption: checkpoint === null ? null : { checkpoint, command: 'locmoe train --resume runs/r' },
    suspectCheckpoint: null,
    notRestarted: null,
    logsCommand: 'locmoe logs --run runs/r --level warn',
  });

describe('failureLines', () => {
  it('fit a terminal, but for commands, which can be copied', () => {
    const long = { phase: 'waits for what nobody sends '.repeat(4) };
    const ranks = [rank(0, long), rank(1), rank(2), rank(3)];
    const lines = failureLines(report(ranks, CULPRIT, '/runs/r/checkpoints/step-00000005'), 50)
      .join('\n')
      .split('\n');
    const isCommand = (line: string) => /^ {2}(?:logs|resume): /.test(line);
    expect(lines.filter((line) => line.length > 50 && !isCommand(line))).toEqual([]);
    expect(lines.filter(isCommand)).toEqual(
      failureLines(report(ranks, CULPRIT, '/runs/r/checkpoints/step-00000005')).filter(isCommand),
    );
  });

  it('let no member of the run steer the terminal', () => {
    const lines = failureLines(report([rank(0, { phase: '\u001b[2J' }), rank(3)], CULPRIT));
    expect(lines.join('')).not.toContain('\u001b');
  });

  it('say who, where, what the others did, and how to go on', () => {
    const ranks = [rank(0), rank(1, { step: 6, phase: 'reduce', operation: '' }), rank(2), rank(3)];
    expect(failureLines(report(ranks, CULPRIT, '/runs/r/checkpoints/step-00000005'))).toEqual([
      'run failed: rank 3, step 7: it died of this',
      '  culprit: rank 3 of node 1 on h1, pid 103, killed by SIGKILL',
      '  where: step 7, layer 2, forward, all-to-all dispatch layer 2 (operation 93)',
      '  ranks 0, 2: step 7, forward, all-to-all dispatch layer 2',
      '  rank 1: step 6, reduce',
      '  logs: locmoe logs --run runs/r --level warn',
      '  resume: locmoe train --resume runs/r  # from step-00000005',
    ]);
  });

  it('offer no checkpoint from which the same step would fail again', () => {
    const failure = {
      timeMs: 0,
      error: new TrainerError('NOT_FINITE', 'the norm is NaN', { step: 31 }),
      culprit: null,
      ranks: [],
    };
    const options = { failure, generation: 1, host: null, logsCommand: 'LOGS' };
    const resumeLine = (checkpoint: string | null, suspectCheckpoint: string | null) =>
      failureLines(
        failureReport({
          ...options,
          resumption: checkpoint === null ? null : { checkpoint, command: 'RESUME' },
          suspectCheckpoint,
          notRestarted: null,
        }),
      ).at(-1);
    expect(resumeLine('c/step-000020', 'c/step-000030')).toBe(
      '  resume: RESUME  # from step-000020; step-000030 leads to the failure of step 31 at any learning rate',
    );
    expect(resumeLine(null, 'c/step-000030')).toMatch(
      /^ {2}resume: from no checkpoint: step-000030 leads .*; start a new run with other settings$/,
    );
    expect(resumeLine(null, null)).toMatch(/would fail again: start a run with a lower train\.learningRate$/);
  });

  it('name a node agent by its exit code, and a worker that went silent by for how long', () => {
    const agent = { ...CULPRIT, rank: null, exitCode: 3, signal: null };
    const lines = failureLines(report([rank(0), rank(2), rank(3)], agent));
    expect(lines[1]).toBe('  culprit: the agent of node 1 on h1, pid 103, ended with code 3');
    expect(lines.filter((line) => line.startsWith('  rank'))).toEqual([
      '  rank 0: step 7, forward, all-to-all dispatch layer 2',
    ]);
    const silent = { ...CULPRIT, signal: null };
    const ranks = [rank(3, { lastHeardMs: 9_870 })];
    expect(failureLines(report(ranks, silent, null, 0))[1]).toMatch(/pid 103, silent for 9\.9 s$/);
    // A rank that reported its own failure has been quiet only since then.
    expect(failureLines(report(ranks, silent))[1]).toMatch(/pid 103$/);
  });

  it('name nobody where nobody is to blame', () => {
    const blameless = report([], null);
    expect(blameless).toMatchObject({ rank: 3, node: null, pid: null, step: 7, checkpoint: null });
    expect(failureLines(blameless)).toEqual([
      'run failed: rank 3, step 7: it died of this',
      '  logs: locmoe logs --run runs/r --level warn',
      '  resume: no checkpoint was saved yet (train.checkpointEvery): start the run again',
    ]);
  });

  it('stay few with many ranks that all did something else', () => {
    const ranks = Array.from({ length: 64 }, (_, i) => rank(i, { step: i }));
    const lines = failureLines(report(ranks, CULPRIT));
    expect(lines).toHaveLength(10);
    expect(lines).toContain("  and 59 other ranks elsewhere: failure.json in the run's folder");
  });
});

it('formatRanks joins neighbours', () => {
  expect(formatRanks([3])).toBe('rank 3');
  expect(formatRanks([7, 0, 2, 3, 4])).toBe('ranks 0, 2-4, 7');
});
