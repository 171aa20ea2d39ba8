import { generationsOf, type JournalEntry, type JournalEvent, restartCostsOf } from '@locmoe/run-format';
import { expect, it } from 'vitest';
import { generationLines } from '../../src/cli/generation-lines.js';

const begins = (generation: number, step: number | null, nodes = 2): JournalEvent => ({
  type: 'generation',
  generation,
  nodes,
  workersPerNode: 1,
  from: { kind: step === null ? 'nothing' : 'checkpoint', step: step ?? 0 },
});
const fails = (generation: number, message: string): JournalEvent => ({
  type: 'failure',
  generation,
  code: 'WORKER_DIED',
  message,
  rank: 1,
  node: 1,
  step: 48,
});
const trains = (generation: number): JournalEvent => ({ type: 'running', generation });

const JOURNAL: readonly JournalEntry[] = (
  [
    { type: 'lead', term: 1, pid: 1, host: 'a' },
    begins(1, null),
    trains(1),
    fails(1, 'worker killed'),
    // This generation fails before it trains.
    begins(2, 40),
    fails(2, 'node lost'),
    begins(3, 40, 1),
    trains(3),
    { type: 'recovered', generation: 3, detectedS: 0.3, restartedS: 9, lostSteps: 7, lostS: 2.2 },
    fails(3, 'killed again'),
    { type: 'end', state: 'failed', exitCode: 3 },
    { type: 'lead', term: 2, pid: 2, host: 'a' },
    begins(4, 60),
    trains(4),
    { type: 'end', state: 'finished', exitCode: 0 },
  ] satisfies JournalEvent[]
).map((event, index) => ({ ...event, time: 1000 * index }));

it("a run's generations are told from its journal: what each began with, how far it came, how it ended", () => {
  const generations = generationsOf(JOURNAL);
  expect(generations.map(({ end }) => end)).toEqual(['restarted', 'restarted', 'failed', 'finished']);
  expect(generations.map(({ lastStep }) => lastStep)).toEqual([47, null, null, null]);
  expect(restartCostsOf(generations)).toEqual({ restarts: 2, lostSteps: 7, lostSeconds: 11.5 });
  expect(generationLines(generations, 90)).toEqual([
    'generations (2 restarts, 12s lost in all)',
    '  1: 2 x 1 from the beginning, steps 1 to 47, restarted: worker killed',
    '  2: 2 x 1 from the checkpoint of step 40, restarted: node lost',
    '  3: 1 x 1 from the checkpoint of step 40, failed: killed again',
    '     detected in 0.3 s, restarted in 9.0 s, 7 steps (2.2 s) done again',
    '  4: 2 x 1 from the checkpoint of step 60, steps 61 to 90, finished',
  ]);
});

it('of a run whose coordinator was killed and which was resumed', () => {
  const events = [begins(1, null), trains(1), begins(2, 40), trains(2)];
  const generations = generationsOf(events.map((event, index) => ({ ...event, time: 1000 * index })));
  expect(generations).toMatchObject([
    { beganAtMs: 0, trainedAtMs: 1000, endedAtMs: null, end: 'lost' },
    { beganAtMs: 2000, trainedAtMs: 3000, endedAtMs: null, end: 'open' },
  ]);
  expect(generationLines(generations, 50)).toContain(
    '  1: 2 x 1 from the beginning, its coordinator was lost',
  );
});

it('of a run that goes on, and of one without a journal', () => {
  expect(generationsOf(JOURNAL.slice(0, 4)).map(({ end }) => end)).toEqual(['open']);
  expect(generationsOf([])).toEqual([]);
  expect(generationLines(generationsOf(JOURNAL.slice(0, 3)), 5)).toEqual([]);
});
