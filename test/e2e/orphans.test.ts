import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { NIGHTLY } from '../nightly.js';
import { Locmoe, startTraining, temporaryFolder } from './support.js';

const POLL_MS = 5;

function start(): Locmoe {
  return startTraining({
    folder: temporaryFolder(),
    nodes: 2,
    workersPerNode: 1,
    sets: ['train.steps=100000'],
  });
}

async function until(isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + 120_000;
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error('it did not happen within 120 s');
    await sleep(POLL_MS);
  }
}

describe('a coordinator that is killed while its processes load', () => {
  it.each([
    ['agent', 0],
    ['worker', 0],
    ...(NIGHTLY
      ? ([
          ['agent', 300],
          ['worker', 500],
        ] as const)
      : []),
  ] as const)('after the first %s has been there for %d ms leaves none of them', async (kind, delayMs) => {
    const run = start();
    await until(() => run.pidsOf(kind).length > 0);
    await sleep(delayMs);
    run.child.kill('SIGKILL');
    await run.finished;
    // Its children are reaped by another process.
    await run.expectNothingLeft();
  });
});

describe('an agent that is killed before its workers have attached', () => {
  it('leaves no shared memory', async () => {
    const run = start();
    const [, id] = await run.until(/run (micro-[a-z0-9-]+):/);
    const pids = () =>
      readdirSync('/dev/shm').flatMap((name) => {
        const match = /^locmoe-(.*)-g1-n\d-(\d+)-\d+$/.exec(name);
        return match?.[1] === id ? [Number(match[2])] : [];
      });
    await until(() => pids().length > 0);
    process.kill(pids()[0], 'SIGKILL');
    expect((await run.finished).code).toBe(3);
    await run.expectNothingLeft();
  });
});

describe('a command that npx started', () => {
  const NODE = ['node', '--coordinator', '127.0.0.1:1', '--forever'];

  it('ends in order once npx has ended', async () => {
    const run = new Locmoe(NODE, {}, ['npx', 'locmoe']);
    await run.until(/waiting: /);
    run.child.kill('SIGTERM');
    await run.expectNothingLeft();
  });

  it('goes on in the background when the shell has ended', async () => {
    const command = `nohup npx locmoe ${NODE.join(' ')} & wait`;
    const run = new Locmoe([command], {}, ['sh', '-c']);
    await run.until(/waiting: /);
    run.child.kill('SIGKILL');
    await sleep(2_000);
    expect(run.descendants().length).toBeGreaterThanOrEqual(2);
  });
});
