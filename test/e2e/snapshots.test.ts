import { existsSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readJournal } from '@locmoe/run-format';
import { expect, it } from 'vitest';
import { NIGHTLY } from '../nightly.js';
import {
  filesIn,
  locmoe,
  lossCurve,
  newestRun,
  startTraining,
  temporaryFolder,
  trainToTheEnd,
  UNHURRIED,
} from './support.js';

const EVERY = 2;
const SETS = ['train.steps=18', 'cluster.maxRestarts=3', 'train.checkpointEvery=100'];

/** Trains, and kills a process of each kind in turn, six steps apart. */
async function killInTurn(
  layout: { nodes: number; workersPerNode: number },
  kinds: readonly ('worker' | 'agent')[],
) {
  const folder = temporaryFolder();
  const sets = [...SETS, `train.snapshotEvery=${EVERY}`];
  const run = startTraining({ folder, ...layout, sets, env: UNHURRIED });
  for (const [i, kind] of kinds.entries()) {
    const numSteps = () => lossCurve(newestRun(folder)).size;
    await expect.poll(numSteps, { timeout: 120_000, interval: 20 }).toBeGreaterThanOrEqual(6 * (i + 1));
    // Spares have greater pids than ranks.
    process.kill(run.pidsOf(kind)[1]!, 'SIGKILL');
    await run.until(new RegExp(`(?:recovered: [\\s\\S]*){${i + 1}}`));
  }
  const { code, stdout } = await run.finished;
  expect(code, stdout).toBe(0);
  await run.expectNothingLeft();
  const journal = readJournal(path.join(newestRun(folder), 'journal.ndjson'));
  const starts = journal.flatMap((entry) => (entry.type === 'generation' ? [entry.from.kind] : []));
  expect(starts).toEqual(['nothing', ...kinds.map(() => 'snapshot')]);
  // A node's state outlives its agent, too. One of the two snapshots may be of a step whose report was lost.
  for (const entry of journal)
    if (entry.type === 'recovered') expect(entry.lostSteps).toBeLessThanOrEqual(EVERY);
  const expected = await trainToTheEnd({ folder: temporaryFolder(), ...layout, sets: SETS });
  expect(lossCurve(newestRun(folder))).toEqual(lossCurve(expected));
}

it.runIf(NIGHTLY)(
  'two nodes go on from memory, to the same loss at every step, after a worker and then an agent was killed',
  async () => {
    await killInTurn({ nodes: 2, workersPerNode: 1 }, ['worker', 'agent']);
  },
);

it('no more than one step is done again, whenever a worker is killed', async () => {
  const folder = temporaryFolder();
  const layout = { nodes: 2, workersPerNode: 1 };
  const sets = [
    'train.steps=16',
    'train.validateEvery=5',
    'train.checkpointEvery=100',
    'train.snapshotEvery=1',
  ];
  const moments = [
    'step.begun:5:kill:rank=1:generation=1',
    'snapshot.copied:3:kill:rank=0:generation=2',
    'snapshot.copied:2:kill:rank=1:generation=3',
  ];
  const restarts = ['cluster.maxRestarts=3', 'cluster.spares=0'];
  const run = startTraining({
    folder,
    ...layout,
    sets: [...sets, ...restarts],
    env: { LOCMOE_FAIL: moments.join(',') },
  });
  const { code, stdout } = await run.finished;
  expect(code, stdout).toBe(0);
  await run.expectNothingLeft();
  const journal = readJournal(path.join(newestRun(folder), 'journal.ndjson'));
  const lost = journal.flatMap((entry) => (entry.type === 'recovered' ? [entry.lostSteps] : []));
  expect(lost).toHaveLength(moments.length);
  expect(Math.max(...lost), `steps done again: ${lost}`).toBeLessThanOrEqual(1);
  const expected = await trainToTheEnd({ folder: temporaryFolder(), ...layout, sets });
  expect(lossCurve(newestRun(folder))).toEqual(lossCurve(expected));
});

it('a run whose snapshots are gone from /dev/shm goes on from its checkpoint, with its last restart', async () => {
  const folder = temporaryFolder();
  const sets = [
    'train.steps=100000',
    'train.checkpointEvery=5',
    'train.snapshotEvery=3',
    'cluster.maxRestarts=1',
    'cluster.spares=0',
  ];
  // Only one checkpoint is saved, older than the snapshots.
  const env = { LOCMOE_FAIL: `${UNHURRIED.LOCMOE_FAIL},checkpoint.shard:6-99999:full:rank=0:generation=1` };
  const run = startTraining({ folder, nodes: 1, workersPerNode: 1, sets, env });
  await run.until(/no checkpoint of step 10: /);
  const directory = newestRun(folder);
  const status = async () => {
    const { restartsFrom, failedCheckpoints } = JSON.parse(
      (await locmoe('status', '--json', '--run', directory)).stdout,
    );
    return [restartsFrom, failedCheckpoints > 0];
  };
  await expect.poll(status, { timeout: 60_000 }).toEqual(['snapshot', true]);
  const worker = run.pidsOf('worker').at(-1)!;
  // The stopped worker writes no further snapshot.
  process.kill(worker, 'SIGSTOP');
  for (const name of readdirSync('/dev/shm'))
    if (name.startsWith(`locmoe-${path.basename(directory)}-snapshots-`))
      for (const each of readdirSync(`/dev/shm/${name}`))
        rmSync(`/dev/shm/${name}/${each}`, { recursive: true });
  process.kill(worker, 'SIGKILL');
  await run.until(/generation 3 starts from step 5 on 1 node[\s\S]*recovered: /);
  run.interrupt();
  const { code, stdout } = await run.finished;
  expect(code, stdout).toBe(130);
  expect(stdout).toMatch(/generation 2 failed: .* in memory is lost: .*; restarting \(0 restarts left\)/);
  await run.expectNothingLeft();
});

it.runIf(NIGHTLY)(
  'a damaged snapshot is replaced by its copy on the other node, one that vanishes while it is read by the checkpoint',
  async () => {
    const folder = temporaryFolder();
    const vanish = path.join(folder, 'vanish');
    const sets = [
      'train.steps=100000',
      'train.checkpointEvery=5',
      'train.snapshotEvery=3',
      'cluster.maxRestarts=2',
      'cluster.spares=0',
    ];
    // Only the first checkpoint is saved, by its five files of rank 0.
    const full = [6, 1, 1].map((file, i) => `checkpoint.shard:${file}-99999:full:rank=0:generation=${i + 1}`);
    const env = {
      LOCMOE_FAIL: [UNHURRIED.LOCMOE_FAIL, ...full].join(),
      NODE_OPTIONS: `--import ${new URL('vanish-when-read.mjs', import.meta.url)}`,
      LOCMOE_TEST_VANISH: vanish,
    };
    const run = startTraining({ folder, nodes: 2, workersPerNode: 1, sets, env });
    await run.until(/no checkpoint of step 10: /);
    const directory = newestRun(folder);
    const untilSnapshot = () =>
      expect
        .poll(
          async () => JSON.parse((await locmoe('status', '--json', '--run', directory)).stdout).restartsFrom,
          { timeout: 60_000 },
        )
        .toBe('snapshot');
    const snapshotsOf = (node: number) => {
      const mark = `locmoe-${path.basename(directory)}-snapshots-n${node}-`;
      return `/dev/shm/${readdirSync('/dev/shm').find((name) => name.startsWith(mark))}`;
    };
    /** Whether node 0 has a copy of the newest snapshot that is complete on node 1. */
    const isCopied = () => {
      const complete = readdirSync(snapshotsOf(1)).filter((name) =>
        existsSync(path.join(snapshotsOf(1), name, 'manifest.json')),
      );
      const stepOf = (name: string) => Number(name.split('-').at(-1));
      const newest = complete.sort((a, b) => stepOf(a) - stepOf(b)).at(-1)!;
      const copy = path.join(snapshotsOf(0), newest, 'of-node-1');
      const files = existsSync(copy) ? Object.entries(filesIn(copy)) : [];
      return (
        files.length === 2 &&
        files.every(([name, bytes]) => filesIn(path.join(snapshotsOf(1), newest, name))[''] === bytes)
      );
    };

    await untilSnapshot();
    const first = run.pidsOf('worker').at(-1)!;
    // A stopped worker writes no further snapshot. It goes on where the newest one is not copied yet.
    for (process.kill(first, 'SIGSTOP'); !isCopied(); process.kill(first, 'SIGSTOP')) {
      process.kill(first, 'SIGCONT');
      await sleep(20);
    }
    for (const name of readdirSync(snapshotsOf(1))) {
      const file = path.join(snapshotsOf(1), name, 'shared.safetensors');
      if (existsSync(file)) writeFileSync(file, Buffer.alloc(statSync(file).size, 0x5a));
    }
    process.kill(first, 'SIGKILL');
    await run.until(/recovered: /);
    // A node's log arrives later than what the coordinator says itself.
    await run.until(
      /warning: .*is damaged: .*: the copy of this snapshot of step \d+ on node 0 is taken/,
      30_000,
    );

    await untilSnapshot();
    writeFileSync(vanish, '');
    process.kill(run.pidsOf('worker').at(-1)!, 'SIGKILL');
    await run.until(/generation 4 starts from step 5 on 2 nodes[\s\S]*recovered: /);
    run.interrupt();
    const { code, stdout, stderr } = await run.finished;
    expect(code, stdout + stderr).toBe(130);
    expect(stdout).toMatch(/generation 3 failed: .*ENOENT.*; restarting \(0 restarts left\)/);
    expect(stdout + stderr).toMatch(
      /the snapshot of step \d+ is not used: generation 4 starts from \S+step-0*5/,
    );
    await run.expectNothingLeft();
  },
);

it.runIf(NIGHTLY)('a single node goes on from memory after a worker was killed', async () => {
  await killInTurn({ nodes: 1, workersPerNode: 2 }, ['worker']);
});
