import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { type FailureReport, stepFolder } from '@locmoe/run-format';
import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../src/checkpoint/checkpoint.js';
import { loadConfig } from '../../src/config/resolve.js';
import {
  checkpointAfterFailure,
  nodesThatSuffice,
  withNodes,
} from '../../src/coordinator/generation-start.js';
import { savedRun } from './saved-run.js';

const config = (minNodes: number | null) =>
  loadConfig('tiny', {
    nodes: 4,
    workersPerNode: 1,
    sets: minNodes === null ? [] : [`cluster.minNodes=${minNodes}`],
  });

describe('a restart with fewer nodes', () => {
  it('takes as many of those that came as divide experts and batch evenly', () => {
    expect([4, 3, 2, 1, 0].map((came) => nodesThatSuffice(config(1), came))).toEqual([4, 2, 2, 1, 0]);
    expect([3, 2, 1].map((came) => nodesThatSuffice(config(2), came))).toEqual([2, 2, 0]);
  });

  it('never has more nodes than the run was to have', () => {
    // Experts and batch divide by 8 as well.
    expect(nodesThatSuffice(config(2), 8)).toBe(4);
  });

  it('is not made unless it is allowed', () => {
    expect(nodesThatSuffice(config(null), 2)).toBe(0);
  });

  it('keeps the global batch', () => {
    const fewer = withNodes(config(2), 2);
    expect(fewer.cluster.nodes).toBe(2);
    expect(fewer.train).toEqual(config(2).train);
  });

  it('gives up a placement of experts, which is for all nodes', () => {
    const places = [0, 0, 1, 1, 2, 2, 3, 3].toReversed();
    const placed = loadConfig('tiny', {
      nodes: 4,
      workersPerNode: 1,
      sets: [
        'cluster.minNodes=2',
        `moe.placement=${JSON.stringify({ version: 1, numExperts: 8, nodes: 4, workersPerNode: 1, layers: { 2: places, 3: places } })}`,
      ],
    });
    expect(nodesThatSuffice(placed, 3)).toBe(2);
    expect(withNodes(placed, 2).moe.placement).toBeNull();
    expect(withNodes(placed, 4).moe.placement).toEqual(placed.moe.placement);
  });
});

describe('a run that was resumed at a step and has saved nothing since', () => {
  const restart = async (damaged: readonly number[]) => {
    const folder = savedRun([10, 20, 30]);
    for (const step of damaged)
      writeFileSync(path.join(stepFolder(folder.checkpoints, step), 'manifest.json'), '{}');
    const checkpoint = openCheckpoint(path.relative('.', stepFolder(savedRun([20]).checkpoints, 20)));
    const plan = { checkpoint, resumed: { folder, generation: 2, giveUp: () => undefined } };
    return (await checkpointAfterFailure(plan, folder, 3, () => undefined))?.manifest.step;
  };

  it('goes back there, or to a step before if that is damaged, never to one that it had given up', async () => {
    expect(await restart([])).toBe(20);
    expect(await restart([20])).toBe(10);
    await expect(restart([10, 20])).rejects.toMatchObject({ code: 'BAD_CHECKPOINT' });
  });
});

describe('after three steps that were not finite', () => {
  const restart = async (steps: readonly number[], failedStep: number) => {
    const folder = savedRun(steps);
    folder.writeFailure({ generation: 1, code: 'NOT_FINITE', step: failedStep } as FailureReport);
    const warnings: string[] = [];
    const checkpoint = await checkpointAfterFailure({ checkpoint: null, resumed: null }, folder, 2, (line) =>
      warnings.push(line),
    );
    return { step: checkpoint?.manifest.step ?? 0, warnings };
  };

  it('a run goes back behind the checkpoint that has their weights, if need be to its beginning', async () => {
    expect(await restart([5, 10], 14)).toEqual({ step: 10, warnings: [] });
    expect(await restart([5, 10], 13)).toEqual({
      step: 5,
      warnings: [expect.stringMatching(/step-000010 is skipped: .* trying the checkpoint before it$/)],
    });
    expect(await restart([10], 13)).toEqual({
      step: 0,
      warnings: [expect.stringMatching(/step-000010 is skipped: .*; the run begins anew$/)],
    });
  });
});
