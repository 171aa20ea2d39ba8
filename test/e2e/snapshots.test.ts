import path from 'node:path';
import { readJournal } from '@locmoe/run-format';
import { expect, it, vi } from 'vitest';
import { NIGHTLY } from '../nightly.js';
import { lossCurve, newestRun, startTraining, temporaryFolder, trainToTheEnd } from './support.js';

const EVERY = 4;
const SETS = ['train.steps=36', 'cluster.maxRestarts=3', 'train.checkpointEvery=100'];

/** Trains and kills a process of each kind in turn, each after 12 further steps. */
async function killInTurn(
  layout: { nodes: number; workersPerNode: number },
  kinds: readonly ('worker' | 'agent')[],
) {
  const folder = temporaryFolder();
  const run = startTraining({ folder, ...layout, sets: [...SETS, `train.snapshotEvery=${EVERY}`] });
  await run.until(/step +1\//);
  for (const [i, kind] of kinds.entries()) {
    const hasDone = () => {
      try {
        return lossCurve(newestRun(folder)).size >= 12 * (i + 1);
      } catch {
        // The last line is being written.
        return false;
      }
    };
    await vi.waitUntil(hasDone, { timeout: 60_000, interval: 20 });
    process.kill(run.pidsOf(kind).at(-1)!, 'SIGKILL');
    await run.until(new RegExp(`(?:recovered: [\\s\\S]*){${i + 1}}`));
  }
  const { code, stdout } = await run.finished;
  expect(code, stdout).toBe(0);
  await run.expectNothingLeft();
  const journal = readJournal(path.join(newestRun(folder), 'journal.ndjson'));
  const starts = journal.flatMap((entry) => (entry.type === 'generation' ? [entry.from.kind] : []));
  expect(starts).toEqual(['nothing', ...kinds.map(() => 'snapshot')]);
  // The newest may not have been whole, and a step is done before its report.
  for (const entry of journal)
    if (entry.type === 'recovered') expect(entry.lostSteps).toBeLessThanOrEqual(3 * EVERY);
  const expected = await trainToTheEnd({ folder: temporaryFolder(), ...layout, sets: SETS });
  expect(lossCurve(newestRun(folder))).toEqual(lossCurve(expected));
}

it('two nodes go on from memory, to the same loss at every step, after a worker and then an agent was killed', async () => {
  await killInTurn({ nodes: 2, workersPerNode: 1 }, ['worker', 'agent']);
});

it.runIf(NIGHTLY)('so does a single node after a worker was killed', async () => {
  await killInTurn({ nodes: 1, workersPerNode: 2 }, ['worker']);
});
