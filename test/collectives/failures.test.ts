import { existsSync, readdirSync } from 'node:fs';
import { type Cluster, type Layout, type Outcome, type SpawnOptions, spawnRanks } from '@locmoe/test-kit';
import { describe, expect, it } from 'vitest';
import { hashCounts } from '../../src/collectives/all-to-all.js';
import { isRunning } from '../../src/os/process-info.js';
import { NIGHTLY } from '../nightly.js';
import type { Misbehaviour } from './failures.program.js';

const program = new URL('./failures.program.ts', import.meta.url);

function run(
  layout: [number, number],
  misbehaviour: Misbehaviour,
  options: SpawnOptions = {},
): Promise<Outcome<unknown>> {
  const shape: Layout = { numNodes: layout[0], workersPerNode: layout[1] };
  return spawnRanks(shape, program, { args: misbehaviour, timeoutMs: 1000, ...options });
}

async function attached(cluster: Cluster): Promise<void> {
  for (;;) {
    const progress = await cluster.progress();
    if (progress.every(({ operation }) => (operation?.sequence ?? 0) > 20)) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A mismatch is found by the ranks of a node and by an agent; by day each kind of it is tried in one of the two. */
const ON_ONE_NODE: [number, number][] = NIGHTLY
  ? [
      [1, 2],
      [2, 1],
    ]
  : [[1, 2]];
const BETWEEN_NODES: [number, number][] = NIGHTLY ? ON_ONE_NODE : [[2, 1]];

describe('a collective that cannot complete', () => {
  it('names the rank that did not come and what it did last', async () => {
    const { ranks } = await run([1, 3], 'absent', { abortOnFailure: false });
    expect(ranks[2].error).toBeUndefined();
    for (const { error, rank } of ranks.slice(0, 2)) {
      expect(error).toMatchObject({ code: 'COLLECTIVE_TIMEOUT' });
      expect(error?.line).toMatch(
        new RegExp(
          `^rank ${rank}, node 0, step 203, barrier step \\(operation 2\\): waited 1\\.\\d s for rank 2 \\(node 0\\); ` +
            'rank 2 was last seen in step 203 backward, all-reduce gradients \\(operation 1\\)$',
        ),
      );
    }
  });

  it('names a missing rank of another node', async () => {
    const { ranks } = await run([2, 1], 'absent', { abortOnFailure: false });
    expect(ranks[0].error?.message).toMatch(/^waited 1\.\d s for rank 1 \(node 1\)$/);
  });

  it.each(BETWEEN_NODES)(
    'names both ranks and both operations if they differ (%dx%d)',
    async (nodes, workers) => {
      const { ranks } = await run([nodes, workers], 'other operation', { abortOnFailure: false });
      expect(ranks[0].error).toMatchObject({ code: 'COLLECTIVE_MISMATCH' });
      expect(ranks[0].error?.message).toMatch(/rank 0 is in barrier step \(operation 1\)/);
      expect(ranks[0].error?.message).toMatch(
        /rank 1 \(node \d\) sent all-reduce loss \(operation 1\) of layer 4/,
      );
    },
  );

  it('names both sizes if they differ', async () => {
    const { ranks } = await run([1, 2], 'other size', { abortOnFailure: false });
    expect(ranks[0].error).toMatchObject({ code: 'COLLECTIVE_MISMATCH', context: { layer: 1 } });
    expect(ranks[0].error?.message).toMatch(
      /expects 300 bytes, but rank 1 \(node 0\) sent .* with 400 bytes/,
    );
  });

  it.each(ON_ONE_NODE)('names both steps if they differ (%dx%d)', async (nodes, workers) => {
    const { ranks } = await run([nodes, workers], 'other step', { abortOnFailure: false });
    expect(ranks[0].error).toMatchObject({ code: 'COLLECTIVE_MISMATCH' });
    expect(ranks[0].error?.message).toMatch(
      /^rank 0 is in barrier step \(operation 1\) of step 203 .* rank 1 \(node \d\) sent barrier step \(operation 1\) of step 204 /,
    );
  });

  it.each(BETWEEN_NODES)(
    'names both hashes if only the counts of others differ (%dx%d)',
    async (nodes, workers) => {
      const { ranks } = await run([nodes, workers], 'other counts', { abortOnFailure: false });
      expect(ranks[0].error).toMatchObject({ code: 'COLLECTIVE_MISMATCH', context: { layer: 3 } });
      const [mine, theirs] = [3, 2].map((count) => hashCounts([[5, count]]).toString(16));
      expect(ranks[0].error?.message).toMatch(
        new RegExp(
          `expects 0 bytes by counts with hash ${mine}, but rank 1 \\(node \\d\\) sent .* with 0 bytes by counts with hash ${theirs}:`,
        ),
      );
    },
  );
});

describe('a peer that is suspended', () => {
  it.concurrent.each<['worker' | 'agent', (cluster: Cluster) => number]>([
    ['worker', ({ workerPids }) => workerPids[1]],
    ['agent', ({ agentPids }) => agentPids[1]],
  ])('for 5 s, its %s, fails nothing if the deadline is longer', async (_what, pidOf) => {
    const { ranks, agentErrors } = await run([2, 1], 'until stopped', {
      timeoutMs: 20_000,
      whileRunning: async (cluster) => {
        await attached(cluster);
        const pid = pidOf(cluster);
        process.kill(pid, 'SIGSTOP');
        await new Promise((resolve) => setTimeout(resolve, 5000));
        process.kill(pid, 'SIGCONT');
        await attached(cluster);
        cluster.requestStop();
      },
    });
    expect(agentErrors).toEqual([]);
    expect(ranks.map(({ error, signal }) => error ?? signal)).toEqual([null, null]);
    expect(ranks[0].result).toBe(ranks[1].result);
  });
});

describe('a run that is stopped', () => {
  it('aborts every waiting rank with the reason', async () => {
    const { ranks } = await run([1, 3], 'endless', {
      whileRunning: async (cluster) => {
        await attached(cluster);
        cluster.abort('the user said so');
      },
    });
    for (const { error } of ranks)
      expect(error).toMatchObject({ code: 'ABORTED', message: 'the user said so' });
  });

  it('ends all ranks at the same step when asked to', async () => {
    const { ranks } = await run([2, 2], 'until stopped', {
      whileRunning: async (cluster) => {
        await attached(cluster);
        cluster.requestStop();
      },
    });
    expect(ranks.map(({ error }) => error)).toEqual([undefined, undefined, undefined, undefined]);
    expect(new Set(ranks.map(({ result }) => result)).size).toBe(1);
  });

  it('survives the SIGKILL of a worker: the others end quickly and nothing stays in /dev/shm', async () => {
    let killedAt = 0;
    let paths: readonly string[] = [];
    const { ranks } = await run([2, 2], 'endless', {
      timeoutMs: 30_000,
      whileRunning: async (cluster) => {
        await attached(cluster);
        paths = cluster.segmentPaths;
        expect(paths.map(existsSync)).toEqual([false, false]);
        killedAt = performance.now();
        process.kill(cluster.workerPids[1], 'SIGKILL');
      },
    });
    expect(performance.now() - killedAt).toBeLessThan(25_000);
    expect(ranks[1].signal).toBe('SIGKILL');
    for (const rank of [0, 2, 3]) expect(ranks[rank].error).toMatchObject({ code: 'ABORTED' });
    expect(paths.map(existsSync)).toEqual([false, false]);
  });

  it('survives the SIGKILL of an agent: its workers end by themselves and the other node hears of it', async () => {
    const { ranks, agentErrors } = await run([2, 1], 'endless', {
      timeoutMs: 30_000,
      whileRunning: async (cluster) => {
        await attached(cluster);
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
