import type { GlobalLayer, GlobalStep } from '@locmoe/run-format';

/** A step with two sparse layers of four experts, with figures easy to compute by hand. */
export function globalStep(step: number, overrides: Partial<GlobalStep>): GlobalStep {
  return {
    step,
    loss: 2,
    auxiliaryLoss: 0,
    gradientNorm: 1,
    learningRate: 0.1,
    tokens: 64,
    stepMs: 100,
    partsMs: { forward: 20, backward: 30, exchange: 5, allReduce: 2, optimizer: 10, waiting: 25 },
    layers: [
      layer(1, [10, 10, 10, 10], { overCapacity: [10, 0, 0, 0], capacityRatio: 0.4, gateCosine: 0.2 }),
      layer(2, [12, 11, 1, 0], {
        overCapacity: [2, 0, 0, 0],
        notChosen: [0, 4, 0, 0],
        capacityRatio: 0.6,
        gateCosine: 0.3,
      }),
    ],
    bytesSameNode: 3000,
    bytesOtherNode: 5000,
    allToAllMs: 20,
    allToAllWaitMs: 15,
    ...overrides,
  };
}

function layer(index: number, kept: readonly number[], overrides: Partial<GlobalLayer>): GlobalLayer {
  const total = kept.reduce((sum, count) => sum + count, 0);
  const nothing = kept.map(() => 0);
  const { overCapacity = nothing, notChosen = nothing } = overrides;
  return {
    layer: index,
    routed: kept.map((count, expert) => count + overCapacity[expert]! + notChosen[expert]!),
    kept,
    overCapacity,
    notChosen,
    sameWorker: total / 2,
    sameNode: total / 4,
    otherNode: total / 4,
    bytes: { sameWorker: total * 8, sameNode: total * 4, otherNode: total * 4 },
    capacity: kept.map(() => 10),
    capacityRatio: null,
    gateCosine: null,
    ...overrides,
  };
}
