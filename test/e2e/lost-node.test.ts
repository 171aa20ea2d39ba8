import path from 'node:path';
import { readJournal } from '@locmoe/run-format';
import { freePort } from '@locmoe/test-kit';
import { expect, it } from 'vitest';
import { expectGoodEnds, node, serve, withToken } from './nodes.js';
import { lossCurve, newestRun, temporaryFolder, trainToTheEnd } from './support.js';

const CHECKPOINT_EVERY = 30;
/** Six experts and 12 sequences are spread over three nodes, and over two. */
const SETS = [
  'moe.numExperts=6',
  'train.globalBatch=12',
  'train.steps=90',
  `train.checkpointEvery=${CHECKPOINT_EVERY}`,
  'train.snapshotEvery=5',
  'cluster.maxRestarts=3',
  'cluster.spares=0',
];

it('a run goes on without a lost node from what the others hold in memory, and takes one in after a checkpoint', async () => {
  const folder = temporaryFolder();
  const port = await freePort();
  const token = withToken(folder);
  const run = serve(folder, port, [...SETS, 'cluster.minNodes=2'], '--nodes', '3', ...token);
  const [first, second, third] = [node(port, ...token), node(port, ...token), node(port, ...token)];
  await run.until(/checkpoint at step 30:/);
  const journal = path.join(newestRun(folder), 'journal.ndjson');
  await run.until(/^ *step +4\d/m);
  second.child.kill('SIGKILL');
  await run.until(/after 2 s 2 of 3 nodes are here .*, 1 is missing; restarting/);
  await run.until(/recovered: /);
  const back = node(port, ...token);
  await back.until(
    /waiting: run \S+ is (starting|running) with 2 nodes, and takes in the one on \S+ after its next/,
  );
  await run.until(/generation 3 ended: 1 node more can take part; going on with more/);
  expect((await run.finished).code, run.output).toBe(0);
  await expectGoodEnds(first, third, back);
  await run.expectNothingLeft();

  const generations = readJournal(journal).flatMap((entry) =>
    entry.type === 'generation' ? [[entry.nodes, entry.from.kind]] : [],
  );
  expect(generations).toEqual([
    [3, 'nothing'],
    [3, 'snapshot'],
    [2, 'snapshot'],
    // Whichever is newer.
    [3, expect.stringMatching(/^(checkpoint|snapshot)$/)],
  ]);
  const undisturbed = await trainToTheEnd({
    folder: temporaryFolder(),
    nodes: 3,
    workersPerNode: 1,
    sets: SETS,
  });
  const losses = [...lossCurve(newestRun(folder))];
  const expected = lossCurve(undisturbed);
  expect(losses.map(([step]) => step)).toEqual([...expected.keys()]);
  for (const [step, loss] of losses) expect(loss, `step ${step}`).toBeCloseTo(expected.get(step)!, 3);
});
