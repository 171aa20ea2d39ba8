import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { readJournal } from '@locmoe/run-format';
import { freePort } from '@locmoe/test-kit';
import { describe, expect, it } from 'vitest';
import { NIGHTLY } from '../nightly.js';
import { node, serve } from './nodes.js';
import { Locmoe, lossCurve, newestRun, temporaryFolder, trainArguments, trainToTheEnd } from './support.js';

const STEPS = 100;
/** How often the coordinator is started again. */
const TIMES = NIGHTLY ? 3 : 2;
const SETS = [`train.steps=${STEPS}`, 'train.checkpointEvery=10', 'train.validateEvery=25'];
const FLAGS = ['--resume-or-start'];
const ONE_NODE = ['--nodes', '1'];

let faultFree: Promise<Map<number, number>> | undefined;
/** The losses of the run without a failure. */
function expectedCurve(): Promise<Map<number, number>> {
  faultFree ??= trainToTheEnd({ folder: temporaryFolder(), nodes: 2, workersPerNode: 1, sets: SETS }).then(
    lossCurve,
  );
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
        // What the killed one was writing.
        return [];
      }
    });
}

/** Each step, validation and checkpoint once; checkpoints in the journal too. */
function expectNothingLostOrRepeated(folder: string): void {
  for (const [kind, every] of [
    ['step', 1],
    ['validation', 25],
    ['checkpoint', 10],
  ] as const) {
    const steps = records(folder)
      .filter(({ type }) => type === kind)
      .map(({ step }) => step);
    expect(steps, kind).toEqual(multiplesOf(every));
  }
  const committed = journalOf(folder, 'committed').map((entry) => 'step' in entry && entry.step);
  expect(committed).toEqual(multiplesOf(10));
}

function multiplesOf(every: number): number[] {
  return Array.from({ length: STEPS / every }, (_, i) => (i + 1) * every);
}

function journalOf(folder: string, type: string) {
  return readJournal(path.join(newestRun(folder), 'journal.ndjson')).filter((entry) => entry.type === type);
}

function workersOf(nodes: readonly Locmoe[]): number[] {
  return nodes.flatMap((each) => each.pidsOf('worker'));
}

/** `locmoe serve` that falls where it is told to. */
function fallingAt(place: string, folder: string, port: number): Locmoe {
  const [, ...training] = trainArguments({ folder, nodes: 2, workersPerNode: 1, sets: SETS });
  const args = ['serve', ...training, '--listen', `127.0.0.1:${port}`, ...FLAGS];
  return new Locmoe(args, { LOCMOE_FAIL: place });
}

async function expectGoodEnds(all: readonly Locmoe[]): Promise<void> {
  for (const each of all) {
    const { code, stdout, stderr } = await each.finished;
    expect(code, stdout + stderr).toBe(0);
  }
}

describe('a coordinator that is killed and started again', () => {
  it('leads the same generation on, and no step is lost, again and again', async () => {
    const folder = temporaryFolder();
    const port = await freePort();
    // The fifth event is that a checkpoint is committed.
    let run = fallingAt('journal.append:5', folder, port);
    const nodes = [node(port), node(port)];
    const coordinators = [run];
    await run.until(/step +\d+\/100/);
    const workers = workersOf(nodes);
    expect((await run.finished).code).toBeNull();
    for (let time = 0; time < TIMES; time++) {
      if (time > 0) run.child.kill('SIGKILL');
      await run.finished;
      run = serve(folder, port, SETS, ...FLAGS);
      coordinators.push(run);
      await run.until(/is back \(2 of 2\)/);
      await run.until(/step +\d+\/100/);
      if (time < TIMES - 1) expect(workersOf(nodes)).toEqual(workers);
    }
    await expectGoodEnds([run, ...nodes]);
    expectNothingLostOrRepeated(folder);
    expect(lossCurve(newestRun(folder))).toEqual(await expectedCurve());
    expect(journalOf(folder, 'generation')).toHaveLength(1);
    expect(journalOf(folder, 'lead')).toMatchObject(
      Array.from({ length: TIMES + 1 }, (_, i) => ({ term: i + 1 })),
    );
    expect(journalOf(folder, 'end')).toMatchObject([{ state: 'finished' }]);
    for (const each of [...coordinators, ...nodes]) await each.expectNothingLeft();
  });

  // The fourth event is `running`.
  it.runIf(NIGHTLY).each(['journal.written:4', 'journal.append:5', 'journal.synced:5'])(
    'loses nothing if it fell at %s',
    async (place) => {
      const folder = temporaryFolder();
      const port = await freePort();
      const run = fallingAt(place, folder, port);
      const nodes = [node(port), node(port)];
      expect((await run.finished).code).toBeNull();
      await expectGoodEnds([serve(folder, port, SETS, ...FLAGS), ...nodes]);
      expectNothingLostOrRepeated(folder);
      expect(lossCurve(newestRun(folder))).toEqual(await expectedCurve());
      expect(journalOf(folder, 'generation')).toHaveLength(1);
    },
  );

  it('begins the next generation when its node has gone too', async () => {
    const folder = temporaryFolder();
    const port = await freePort();
    const run = serve(folder, port, SETS, ...FLAGS, ...ONE_NODE);
    const first = node(port);
    await run.until(/checkpoint at step 10:/);
    for (const each of [run, first]) each.child.kill('SIGKILL');
    await Promise.all([run.finished, first.finished]);
    const next = serve(folder, port, SETS, ...FLAGS, ...ONE_NODE);
    const other = node(port);
    await next.until(/did not come back in time after the coordinator was replaced; restarting/);
    await expectGoodEnds([next, other]);
    const curve = lossCurve(newestRun(folder));
    expect(curve.size).toBe(STEPS);
    // The one of two nodes, within the layout law.
    for (const [step, loss] of await expectedCurve())
      expect(Math.abs(curve.get(step)! / loss - 1)).toBeLessThan(1e-4);
    expect(journalOf(folder, 'generation')).toHaveLength(2);
  });
});

describe('a coordinator that is killed', () => {
  it('and not started again takes its node along, which ends with 3', async () => {
    const port = await freePort();
    const run = serve(temporaryFolder(), port, [...SETS, 'cluster.coordinatorTimeoutS=2'], ...ONE_NODE);
    const its = node(port);
    await run.until(/step +\d+\/100/);
    run.child.kill('SIGKILL');
    const { code, stdout } = await its.finished;
    expect(code, stdout).toBe(3);
    expect(stdout).toMatch(/node leaves: the coordinator is gone: .*none came within 2 s/);
    for (const each of [run, its]) await each.expectNothingLeft();
  });
});

it('of two coordinators of a run the second is refused while the first is only frozen; one that was replaced ends when it wakes', async () => {
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

  // As on a file system without locks, and from another machine, which cannot see the process.
  rmSync(path.join(resume, 'run.lock'));
  const record = path.join(resume, 'run.json');
  writeFileSync(record, readFileSync(record, 'utf8').replace(/"machine": "/, '$&another-'));
  const next = serve(folder, await freePort(), sets, '--resume', resume);
  // Not the line on a changed configuration, which precedes its taking the run over.
  await next.until(/^run micro\S+: /m);
  run.child.kill('SIGCONT');
  const woke = performance.now();
  const { code, stderr } = await run.finished;
  // Seconds at most, not the minutes for which its nodes would be waited for.
  expect(performance.now() - woke).toBeLessThan(30_000);
  expect([code, stderr]).toEqual([
    3,
    expect.stringMatching(
      new RegExp(`^locmoe: run \\S+ was taken over by process ${next.child.pid} on .*\n$`),
    ),
  ]);
  expect(journalOf(folder, 'lead').map((entry) => 'pid' in entry && entry.pid)).toEqual([
    run.child.pid,
    next.child.pid,
  ]);
  for (const each of [next, its]) each.child.kill('SIGKILL');
});
