import type { GlobalLayer, GlobalStep } from '../src/index.js';

/** A sparse layer of four experts: 100 choices, 90 kept. */
export function globalLayer(layer: number): GlobalLayer {
  return {
    layer,
    routed: [40, 30, 20, 10],
    kept: [33, 28, 19, 10],
    overCapacity: [5, 1, 0, 0],
    notChosen: [2, 1, 1, 0],
    sameWorker: 50,
    sameNode: 30,
    otherNode: 10,
    bytes: { sameWorker: 5000, sameNode: 3000, otherNode: 1000 },
    capacity: [40, 40, 40, 40],
    capacityRatio: 0.8,
    gateCosine: 0.25,
  };
}

/** A synthetic step whose numbers are all different. */
export function globalStep(step: number, layers: readonly GlobalLayer[] = [globalLayer(1)]): GlobalStep {
  return {
    step,
    loss: 10 / step,
    auxiliaryLoss: 0.01,
    gradientNorm: 1.5,
    learningRate: 0.003,
    tokens: 256,
    stepMs: 20,
    partsMs: { forward: 5, backward: 6, exchange: 2, allReduce: 1, optimizer: 1, waiting: 4 },
    layers,
    bytesSameNode: 7000,
    bytesOtherNode: 2000,
    allToAllMs: 4,
    allToAllWaitMs: 3,
    timeImbalance: 1.25,
    bytesImbalance: 1.1,
    ...(layers.length > 0 && {
      idShare: 0.75,
      gateShare: 0.5,
      margin: 0.125,
      gateEntropy: 0.6,
      routerZ: 2.5,
      loadImbalance: 1.5,
      loadP10: 0.4,
      loadP50: 0.9,
      loadP90: 1.5,
      links: {
        numNodes: 2,
        between: 'ranks',
        bytes: [
          [0, 3000],
          [1000, 0],
        ],
      },
    }),
  };
}

/** A step that was skipped, as something in it was not finite. */
export function skippedStep(step: number): GlobalStep {
  return { ...globalStep(step, []), loss: null, auxiliaryLoss: null, gradientNorm: null };
}
