import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it, vi } from 'vitest';
import { NIGHTLY } from '../nightly.js';
import { Locmoe, startTraining, temporaryFolder } from './support.js';

const NODE = ['node', '--coordinator', '127.0.0.1:1', '--forever'];

function start(): Locmoe {
  const sets = ['train.steps=100000'];
  return startTraining({ folder: temporaryFolder(), nodes: 1, workersPerNode: 1, sets });
}

const until = (isSo: () => boolean) => vi.waitUntil(isSo, { timeout: 120_000, interval: 5 });

it.each<[string, (run: Locmoe) => Promise<unknown>, delayMs: number]>([
  ['its agent is there', (run) => until(() => run.pidsOf('agent').length > 0), 0],
  ['its worker is there', (run) => until(() => run.pidsOf('worker').length > 0), 0],
  ['its first step is done', (run) => run.until(/step +\d+\/100000/), 0],
  ...(NIGHTLY
    ? ([
        ['its agent is there', (run) => until(() => run.pidsOf('agent').length > 0), 300],
        ['its worker is there', (run) => until(() => run.pidsOf('worker').length > 0), 500],
      ] satisfies [string, (run: Locmoe) => Promise<unknown>, number][])
    : []),
])(
  'a coordinator that is killed once %s leaves no process and no shared memory',
  async (_, moment, delayMs) => {
    const run = start();
    await moment(run);
    await sleep(delayMs);
    run.child.kill('SIGKILL');
    await run.finished;
    // Another process reaps its children.
    await run.expectNothingLeft();
  },
);

it('an agent that is killed before its workers have attached leaves no shared memory', async () => {
  const run = start();
  const [, id] = await run.until(/run (micro-[a-z0-9-]+):/);
  const pids = () =>
    readdirSync('/dev/shm')
      .flatMap((name) => {
        const match = /^locmoe-(.*)-g1-n\d-(\d+)-\d+$/.exec(name);
        return match?.[1] === id ? [Number(match[2])] : [];
      })
      // A run of another test that began in the same second has the same id.
      .filter((pid) => run.pidsOf('agent').includes(pid));
  await until(() => pids().length > 0);
  process.kill(pids()[0], 'SIGKILL');
  expect((await run.finished).code).toBe(3);
  await run.expectNothingLeft();
});

it('a command that npx started ends in order once npx has ended', async () => {
  const run = new Locmoe(NODE, {}, ['npx', 'locmoe']);
  await run.until(/waiting: /);
  run.child.kill('SIGTERM');
  await run.expectNothingLeft();
});

it('a command that npx started goes on in the background when the shell has ended', async () => {
  const run = new Locmoe([`nohup npx locmoe ${NODE.join(' ')} & wait`], {}, ['sh', '-c']);
  await run.until(/waiting: /);
  run.child.kill('SIGKILL');
  // That it is still alive is the only sign that it goes on.
  await sleep(2_000);
  expect(run.descendants().length).toBeGreaterThanOrEqual(2);
});
