import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type JournalEntry, readJournal } from '@locmoe/run-format';
import { freePort } from '@locmoe/test-kit';
import { expect, it } from 'vitest';
import { NIGHTLY } from '../nightly.js';
import { expectGoodEnds, node, serve, serveWith } from './nodes.js';
import { type Locmoe, lossCurve, newestRun, temporaryFolder, trainToTheEnd } from './support.js';

const STEPS = 30;
/** Number of restarts of the coordinator. */
const TIMES = NIGHTLY ? 3 : 2;
const SETS = [`train.steps=${STEPS}`, 'train.checkpointEvery=5', 'train.validateEvery=10'];
const FLAGS = ['--resume-or-start'];
const ONE_NODE = ['--nodes', '1'];

let faultFree: Promise<Map<number, number>> | undefined;
/** The losses of an undisturbed run started by a single command. */
function expectedCurve(): Promise<Map<number, number>> {
  const layout = { folder: temporaryFolder(), nodes: 2, workersPerNode: 1 };
  faultFree ??= trainToTheEnd({ ...layout, sets: SETS }).then(lossCurve);
  return faultFree;
}

function records(folder: string): Record<string, unknown>[] {
  return readFileSync(path.join(newestRun(folder), 'metrics.ndjson'), 'utf8')
    .trim()
    .split('\n')
    .flatMap((line) => {
      try {
        return [JSON.parse(line)];
      } catch {
        // The killed coordinator was writing this line.
        return [];
      }
    });
}

/** Expects the curve of an undisturbed run, and each step, validation and checkpoint once, in one generation. */
async function expectNothingLostOrRepeated(folder: string): Promise<void> {
  for (const [kind, every] of [
    ['step', 1],
    ['validation', 10],
    ['checkpoint', 5],
  ] as const) {
    const ofKind = records(folder).filter(({ type }) => type === kind);
    expect(
      ofKind.map(({ step }) => step),
      kind,
    ).toEqual(multiplesOf(every));
  }
  expect(journalOf(folder, 'committed').map(({ step }) => step)).toEqual(multiplesOf(5));
  expect(journalOf(folder, 'generation')).toHaveLength(1);
  expect(lossCurve(newestRun(folder))).toEqual(await expectedCurve());
}

function multiplesOf(every: number): number[] {
  return Array.from({ length: STEPS / every }, (_, i) => (i + 1) * every);
}

function journalOf<T extends JournalEntry['type']>(folder: string, type: T) {
  return readJournal(path.join(newestRun(folder), 'journal.ndjson')).filter(
    (entry): entry is Extract<JournalEntry, { type: T }> => entry.type === type,
  );
}

function workersOf(nodes: readonly Locmoe[]): number[] {
  return nodes.flatMap((each) => each.pidsOf('worker'));
}

/** Starts a `locmoe serve` that is killed at the given failpoint. */
function killedAt(place: string, folder: string, port: number): Locmoe {
  return serveWith({ LOCMOE_FAIL: place }, folder, port, SETS, ...FLAGS);
}

it('a coordinator that is killed and started again leads the same generation on, and no step is lost, again and again', async () => {
  const folder = temporaryFolder();
  const port = await freePort();
  // The fifth event is that a checkpoint is committed.
  let run = killedAt('journal.append:5', folder, port);
  const nodes = [node(port), node(port)];
  const coordinators = [run];
  await run.until(/step +\d+\/30/);
  const workers = workersOf(nodes);
  expect((await run.finished).code).toBeNull();
  for (let time = 0; time < TIMES; time++) {
    if (time > 0) run.child.kill('SIGKILL');
    await run.finished;
    run = serve(folder, port, SETS, ...FLAGS);
    coordinators.push(run);
    await run.until(/is back \(2 of 2\)/);
    await run.until(/step +\d+\/30/);
    if (time < TIMES - 1) expect(workersOf(nodes)).toEqual(workers);
  }
  await expectGoodEnds(run, ...nodes);
  await expectNothingLostOrRepeated(folder);
  expect(journalOf(folder, 'lead').map(({ term }) => term)).toEqual(coordinators.map((_, i) => i + 1));
  expect(journalOf(folder, 'end')).toMatchObject([{ state: 'finished' }]);
  for (const each of coordinators) await each.expectNothingLeft();
});

// The fourth event is `running`.
it.runIf(NIGHTLY).each(['journal.written:4', 'journal.append:5', 'journal.synced:5'])(
  'a coordinator that was killed at %s loses nothing',
  async (place) => {
    const folder = temporaryFolder();
    const port = await freePort();
    const run = killedAt(place, folder, port);
    const nodes = [node(port), node(port)];
    expect((await run.finished).code).toBeNull();
    await expectGoodEnds(serve(folder, port, SETS, ...FLAGS), ...nodes);
    await expectNothingLostOrRepeated(folder);
  },
);

it('a coordinator is refused while the first is only frozen; one that was replaced ends when it wakes, and the run goes on without its node', async () => {
  const folder = temporaryFolder();
  const port = await freePort();
  const sets = [...SETS, 'train.steps=100000'];
  const run = serve(folder, port, sets, ...ONE_NODE);
  const its = node(port);
  await run.until(/checkpoint at step 10:/);
  run.child.kill('SIGSTOP');
  const resume = newestRun(folder);
  const second = await serve(folder, await freePort(), sets, '--resume', resume).finished;
  expect(second.code).toBe(2);
  expect(second.stderr).toMatch(new RegExp(`^locmoe: run \\S+ is held by process ${run.child.pid} on `));

  // A recent record allows another coordinator to take over the nodes.
  run.child.kill('SIGCONT');
  const numSaved = () => run.output.match(/checkpoint at step/g)!.length;
  const before = numSaved();
  await expect.poll(numSaved).toBeGreaterThan(before);
  run.child.kill('SIGSTOP');
  // This imitates a file system without locks, and another machine, which cannot see the process.
  rmSync(path.join(resume, 'run.lock'));
  const record = path.join(resume, 'run.json');
  writeFileSync(record, readFileSync(record, 'utf8').replace(/"machine": "/, '$&another-'));
  const nextPort = await freePort();
  const next = serve(folder, nextPort, sets, '--resume', resume, ...ONE_NODE);
  // The line on a changed configuration is printed before the takeover.
  await next.until(/^run micro\S+: /m);
  run.child.kill('SIGCONT');
  const { code, stderr } = await run.finished;
  expect([code, stderr]).toEqual([
    3,
    expect.stringMatching(
      new RegExp(`^locmoe: run \\S+ was taken over by process ${next.child.pid} on .*\n$`),
    ),
  ]);
  const left = await its.finished;
  expect(left.code, left.stdout).toBe(3);
  expect(left.stdout).toMatch(/node leaves: the coordinator is gone: .*none came within 30 s/);

  const other = node(nextPort);
  await next.until(/did not come back in time after the coordinator was replaced; restarting/);
  await next.until(/^step .* gen 2 /m);
  next.interrupt();
  expect((await next.finished).code).toBe(130);
  expect((await other.finished).code).toBe(0);
  expect(journalOf(folder, 'lead').map(({ pid }) => pid)).toEqual([run.child.pid, next.child.pid]);
  expect(journalOf(folder, 'generation').map(({ from }) => from.kind)).toEqual(['nothing', 'checkpoint']);
  const steps = [...lossCurve(resume).keys()];
  expect(steps).toEqual(steps.map((_, i) => i + 1));
  for (const each of [run, its, next, other]) await each.expectNothingLeft();
});
