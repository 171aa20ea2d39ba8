import { tmpdir } from 'node:os';
import { LogStore } from '@locmoe/logs';
import { type GlobalStep, reportMeasures } from '@locmoe/run-format';
import { expect, it } from 'vitest';
import { timeoutsOf } from '../../src/config/timeouts.js';
import { Membership } from '../../src/coordinator/membership.js';
import { Reports } from '../../src/coordinator/reports.js';
import { createLogger } from '../../src/logger.js';
import { config } from '../checkpoint/fixture.js';
import { stepReport } from './coordinator-of.js';

const NUM_EXPERTS = 4;

const reportWith = (capacity: number) =>
  stepReport({
    tokens: 24,
    layers: [
      {
        layer: 1,
        rowBytes: 4,
        measures: reportMeasures([
          {
            routed: [6, 6, 6, 6],
            kept: [6, 6, 6, 6],
            overCapacity: [0, 0, 0, 0],
            notChosen: [0, 0, 0, 0],
            sameWorker: 24,
            sameNode: 0,
            otherNode: 0,
            capacity: Array(NUM_EXPERTS).fill(capacity),
          },
        ]),
      },
    ],
    rowBytesTo: [0],
  });

// A step has 24 tokens for 4 experts of one group: the capacity is ceil(0.6 * 24 / 4), or three times ceil(0.6 * 8 / 4).
it.each([
  [1, 4],
  [3, 6],
])(
  'experts at the classic capacity of each of %i micro-batches are at a share of 1',
  (microBatches, capacity) => {
    const steps: GlobalStep[] = [];
    const identity = {
      resumedStep: 0,
      config: {
        ...config,
        model: { ...config.model, seqLen: 8 },
        moe: { ...config.moe, capacityFactor: 0.6, expertGroups: 1 },
        train: { ...config.train, globalBatch: 3, microBatches },
        cluster: { ...config.cluster, nodes: 1, workersPerNode: 1 },
      },
    };
    const reports = new Reports(
      {
        identity,
        logs: new LogStore(tmpdir(), () => undefined),
        logger: createLogger({
          level: 'info',
          origin: { run: '', generation: 0 },
          destination: { write: () => undefined },
        }),
        listeners: [{ step: (step) => steps.push(step) }],
      },
      new Membership('r', 1, timeoutsOf(identity.config.cluster)),
    );
    reports.step({ hasReturned: false }, reportWith(capacity));
    expect(steps[0]?.layers[0]?.capacityRatio).toBe(1);
  },
);
