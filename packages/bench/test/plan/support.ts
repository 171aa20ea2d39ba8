import { resolveConfig } from 'locmoe/internal/config/resolve';
import type { RunConfig } from 'locmoe/internal/config/schema';
import type { PlanInput } from '../../src/plan/predict.js';
import type { MachineProfile } from '../../src/plan/profile.js';
import { UNIFORM } from '../../src/plan/routing-model.js';

/** Round costs of an imaginary four-core machine. */
export const PROFILE: MachineProfile = {
  machine: 'a made-up machine',
  date: '2026-01-01',
  command: 'none',
  cores: 4,
  compute: {
    flopsPerS: 1e11,
    touchedNs: 0.5,
    operationUs: 20,
    gradientNs: 3,
    parameterNs: 5,
    summedNs: 1,
    routerTokenNs: { hash: 50, switch: 100, locmoe: 150, 'locmoe-plus': 500 },
    candidateNs: 200,
    slowdown: [
      { processesPerCore: 0.25, factor: 1 },
      { processesPerCore: 1, factor: 1.1 },
      { processesPerCore: 2, factor: 1.2 },
    ],
  },
  exchange: { wakeUs: 50, hopUs: 200, messageUs: 3, byteNs: 0.1, frameUs: 30, streamByteNs: 0.5 },
  processBytes: 250e6,
};

/** A small model; `sets` as on the command line. */
export function configOf(sets: readonly string[] = [], nodes = 1, workersPerNode = 1): RunConfig {
  return resolveConfig(
    `
name: planned
model: { dModel: 32, numHeads: 2, numDenseLayers: 1, numSparseLayers: 2, dFeedForward: 64, vocabSize: 512, seqLen: 16 }
moe: { numExperts: 8, router: hash, capacityFactor: null }
data: { domains: [en, code] }
train: { steps: 10, globalBatch: 32, learningRate: 0.01 }
`,
    'planned',
    { sets, nodes, workersPerNode },
  );
}

export function inputOf(config: RunConfig, changes: Partial<PlanInput> = {}): PlanInput {
  return { config, profile: PROFILE, coresPerNode: 4, link: null, routing: UNIFORM, ...changes };
}
