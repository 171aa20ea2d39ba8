import * as tf from '@tensorflow/tfjs-node';
import { Communicator } from '../../src/collectives/communicator.js';
import type { Transport } from '../../src/collectives/transport.js';
import type { RunConfig } from '../../src/config/schema.js';
import { MoeLayer } from '../../src/model/moe-layer.js';
import { placementOf } from '../../src/routing/groups/expert-placement.js';
import { createRouter, expertsOfDomain } from '../../src/routing/index.js';
import { expertsOf, randomIntegers, randomValues, storeOf, tinyConfig } from '../model/support.js';

const TOKENS_OF_WORLD = 96;
const D = 8;
const STEPS = 4;

/** The routing task of all ranks of a world. */
export interface SelectionCase {
  readonly moe: Partial<RunConfig['moe']>;
  readonly numDomains: number;
}

export interface SelectionResult {
  readonly steps: readonly {
    readonly chosen: Int32Array;
    readonly capacityE: Float64Array;
    readonly routed: number;
    readonly kept: number;
    readonly auxiliaryLoss: number;
    readonly y: Float32Array;
  }[];
  readonly state: readonly Float32Array[];
}

/** Routes and trains nothing, as one rank. */
export function select(transport: Transport, { moe: change, numDomains }: SelectionCase): SelectionResult {
  const { topology } = transport;
  const config = tinyConfig({ moe: { dFeedForward: 4, ...change } });
  const { moe } = config;
  const router = createRouter({
    moe,
    layer: 1,
    dModel: D,
    vocabSize: 257,
    expertsOfDomain: expertsOfDomain(numDomains, moe),
    topology,
    transport,
    seed: 1,
    numSteps: 2 * STEPS,
    below: [],
  });
  const chosen: Int32Array[] = [];
  const layer = new MoeLayer({
    layer: 1,
    experts: expertsOf(config),
    placement: placementOf(moe, topology.worldSize, 1),
    router: {
      ...router,
      route(input) {
        const decision = router.route(input);
        chosen.push(decision.expertsTK);
        return decision;
      },
    },
    communicator: new Communicator(transport, 'flat'),
    overlapDegree: 1,
    deduplicate: false,
  });
  const store = storeOf(config, layer);
  const T = TOKENS_OF_WORLD / topology.worldSize;
  const first = topology.rank * T;
  const domainsT = randomIntegers('domains', TOKENS_OF_WORLD, numDomains).slice(first, first + T);
  const steps = Array.from({ length: STEPS }, (_, step) => {
    // Values are rounded, so that some affinities are equal; a growing shift concentrates them.
    const xWorld = randomValues(`x ${step}`, TOKENS_OF_WORLD * D).map((v, i) =>
      Math.round(v + (i % D < 2 ? 0.5 * step : 0)),
    );
    // Ensures that no token is a zero vector.
    for (let t = 0; t < TOKENS_OF_WORLD; t++) xWorld[t * D + (t % D)] += 0.5;
    const { yTD, statistics, auxiliaryLoss } = layer.forward(store, {
      xTD: tf.tensor2d(xWorld.slice(first * D, (first + T) * D), [T, D]),
      tokenIdsT: randomIntegers(`ids ${step}`, TOKENS_OF_WORLD, 257).slice(first, first + T),
      idBefore: () => 0,
      domainsT,
      training: step < STEPS - 1,
    });
    if (step < STEPS - 1) layer.endStep();
    return {
      chosen: chosen[step],
      capacityE: statistics.measures.capacity as Float64Array,
      routed: (statistics.measures.routed as Int32Array).reduce((sum, count) => sum + count, 0),
      kept: (statistics.measures.kept as Int32Array).reduce((sum, count) => sum + count, 0),
      auxiliaryLoss: auxiliaryLoss?.dataSync()[0] ?? 0,
      y: yTD.dataSync<'float32'>().slice(),
    };
  });
  return { steps, state: [...router.state].map(([, values]) => values) };
}
