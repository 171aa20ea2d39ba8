import * as tf from '@tensorflow/tfjs-node';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import {
  expertsOfDomain,
  type MoeConfig,
  type Router,
  type RouterContext,
  type RouterInput,
  type RoutingDecision,
} from '../../src/routing/index.js';
import { randomValues, tinyConfig } from '../model/support.js';

/** The context of a router in a world of one rank with three domains. */
export function routerContext(
  moe: Partial<MoeConfig>,
  overrides: Partial<RouterContext<MoeConfig>> = {},
): RouterContext<MoeConfig> {
  const transport = soloTransport();
  const config = tinyConfig({ moe });
  return {
    moe: config.moe,
    layer: 2,
    dModel: 6,
    vocabSize: 300,
    expertsOfDomain: expertsOfDomain(3, config.moe),
    topology: transport.topology,
    transport,
    seed: 5,
    numSteps: 100,
    below: [],
    ...overrides,
  };
}

/** Random values for all parameters of a router, by name. */
export function randomParameters({ parameterSpecs }: Router): Map<string, tf.Tensor> {
  return new Map(
    parameterSpecs.map(({ name, shape }) => [
      name,
      tf.tensor(randomValues(name, tf.util.sizeFromShape([...shape])), [...shape]),
    ]),
  );
}

export interface Tokens {
  /** Activations, row-major [T, d]. */
  readonly x: Float32Array | tf.Tensor;
  readonly domainsT: Int32Array;
  readonly tokenIdsT?: Int32Array;
  readonly idBefore?: RouterInput['idBefore'];
}

/** Routes tokens, in training by default. */
export function routeTokens(
  router: Router,
  { x, domainsT, tokenIdsT = new Int32Array(domainsT.length), idBefore = () => 0 }: Tokens,
  parameters: ReadonlyMap<string, tf.Tensor> = new Map(),
  training = true,
): RoutingDecision {
  const xTD = (
    x instanceof Float32Array ? tf.tensor2d(x, [domainsT.length, x.length / domainsT.length]) : x
  ) as tf.Tensor2D;
  return router.route({ xTD, tokenIdsT, idBefore, domainsT, training, parameters });
}

export function sum(values: Iterable<number>): number {
  return [...values].reduce((a, b) => a + b, 0);
}
