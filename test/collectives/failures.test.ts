import { existsSync, readdirSync } from 'node:fs';
import { type Cluster, type Layout, type Outcome, type SpawnOptions, spawnRanks } from '@locmoe/test-kit';
import { describe, expect, it } from 'vitest';
import { isRunning } from '../../src/os/process-info.js';
import type { Misbehaviour } from './failures.program.js';

const program = new URL('./failures.program.ts', import.meta.url);
/** Longer than the gap after which a rank takes its process for suspended. */
const SUSPENDED_MS = 2_000;

function run(
  layout: [number, number],
  misbehaviour: Misbehaviour,
  options: SpawnOptions = {},
): Promise<Outcome<unknown>> {
  const shape: Layout = { numNodes: layout[0], workersPerNode: layout[1] };
  return spawnRanks(shape, program, { args: misbehaviour, timeoutMs: 1000, ...options });
}

/** Waits until every rank is more than 20 operations past `after`; returns the furthest operation of any rank. */
async function furthest(cluster: Cluster, after: number): Promise<number> {
  for (;;) {
    const sequences = (await cluster.progress()).map(({ operation }) => operation?.sequence ?? 0);
    if (Math.min(...sequences) > after + 20) return Math.max(...sequences);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe('a collective that cannot complete', () => {
  it('names the rank that did not come and what it did last', async () => {
    const { ranks } = await run([1, 2], 'absent', { abortOnFailure: false });
    expect(ranks[1].error).toBeUndefined();
    expect(ranks[0].error).toMatchObject({ code: 'COLLECTIVE_TIMEOUT' });
    expect(ranks[0].error?.line).toMatch(
      new RegExp(
        '^rank 0, node 0, step 203, barrier step \\(operation 2\\): waited 1\\.\\d s for rank 1 \\(node 0\\); ' +
          'rank 1 was last seen in step 203 backward, all-reduce gradients \\(operation 1\\)$',
      ),
    );
  });

  it('names both ranks and their operations if they are in different steps', async () => {
    const { ranks } = await run([1, 2], 'other step', { abortOnFailure: false });
    expect(ranks[0].error).toMatchObject({ code: 'COLLECTIVE_MISMATCH' });
    expect(ranks[0].error?.message).toMatch(
      /^rank 0 is in barrier step \(operation 1\) of step 203 .* rank 1 \(node \d\) sent barrier step \(operation 1\) of step 204 /,
    );
  });
});

it('a worker or an agent that is suspended fails nothing before the deadline, and all ranks end at the same step', async () => {
  const { ranks, agentErrors } = await run([2, 1], 'until stopped', {
    timeoutMs: 20_000,
    whileRunning: async (cluster) => {
      for (const pid of [cluster.workerPids[1], cluster.agentPids[1]]) {
        const before = await furthest(cluster, 0);
        process.kill(pid, 'SIGSTOP');
        await new Promise((resolve) => setTimeout(resolve, SUSPENDED_MS));
        process.kill(pid, 'SIGCONT');
        await furthest(cluster, before);
      }
      cluster.requestStop();
    },
  });
  expect(agentErrors).toEqual([]);
  expect(ranks.map(({ error, signal }) => error ?? signal)).toEqual([null, null]);
  expect(ranks[0].result).toBe(ranks[1].result);
});

describe('a run that loses a process', () => {
  it('survives the SIGKILL of a worker: the others end before their deadline and nothing stays in /dev/shm', async () => {
    let paths: readonly string[] = [];
    const { ranks } = await run([2, 1], 'endless', {
      timeoutMs: 30_000,
      whileRunning: async (cluster) => {
        await furthest(cluster, 0);
        paths = cluster.segmentPaths;
        expect(paths.map(existsSync)).toEqual([false, false]);
        process.kill(cluster.workerPids[1], 'SIGKILL');
      },
    });
    expect(ranks[1].signal).toBe('SIGKILL');
    expect(ranks[0].error).toMatchObject({ code: 'ABORTED' });
    expect(paths.map(existsSync)).toEqual([false, false]);
  });

  it('survives the SIGKILL of an agent: its workers end by themselves and the other node hears of it', async () => {
    const { ranks, agentErrors } = await run([2, 1], 'endless', {
      timeoutMs: 30_000,
      whileRunning: async (cluster) => {
        await furthest(cluster, 0);
        process.kill(cluster.agentPids[1], 'SIGKILL');
        await expect.poll(() => isRunning(cluster.workerPids[1])).toBe(false);
      },
    });
    expect(agentErrors[0]).toMatchObject({ code: 'NODE_LOST' });
    expect(agentErrors[0].message).toMatch(/between node 0 and node 1 at 127\.0\.0\.1:\d+ broke/);
    expect(ranks[0].error).toMatchObject({ code: 'ABORTED' });
  });
});

it('leaves nothing behind', () => {
  expect(readdirSync('/dev/shm').filter((name) => name.includes(`ranks-${process.pid}-`))).toEqual([]);
});
