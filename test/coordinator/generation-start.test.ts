import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/resolve.js';
import {
  checkpointAfterFailure,
  nodesThatSuffice,
  withNodes,
} from '../../src/coordinator/generation-start.js';
import type { FailureReport } from '../../src/run/failure-report.js';
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

  it('is not made unless it is allowed', () => {
    expect(nodesThatSuffice(config(null), 2)).toBe(0);
  });

  it('keeps the global batch', () => {
    const fewer = withNodes(config(2), 2);
    expect(fewer.cluster.nodes).toBe(2);
    expect(fewer.train).toEqual(config(2).train);
  });
});

describe('after three steps that were not finite', () => {
  const restart = (steps: readonly number[], failedStep: number) => {
    const folder = savedRun(steps);
    folder.writeFailure({ generation: 1, code: 'NOT_FINITE', step: failedStep } as FailureReport);
    const warnings: string[] = [];
    const checkpoint = checkpointAfterFailure({ checkpoint: null, resumed: null }, folder, 2, (line) =>
      warnings.push(line),
    );
    return { step: checkpoint?.manifest.step ?? 0, warnings };
  };

  it('a run goes back behind the checkpoint that has their weights, if need be to its beginning', () => {
    expect(restart([5, 10], 14)).toEqual({ step: 10, warnings: [] });
    expect(restart([5, 10], 13)).toEqual({
      step: 5,
      warnings: [expect.stringMatching(/step-000010: .* trying the checkpoint before it$/)],
    });
    expect(restart([10], 13)).toEqual({
      step: 0,
      warnings: [expect.stringMatching(/step-000010: .*; the run begins anew$/)],
    });
  });
});
