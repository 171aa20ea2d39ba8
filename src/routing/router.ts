import type * as tf from '@tensorflow/tfjs-node';
import type { Topology } from '../collectives/topology.js';
import type { Transport } from '../collectives/transport.js';
import type { MoeConfig } from '../config/schema.js';
import type { ParameterSpec } from '../model/parameters.js';

// Shapes: T tokens of this rank, d hidden size, E experts of the layer, K choices a token has at most.

export interface RouterInput {
  /** Activations after the layer norm, [T, d]. */
  readonly xTD: tf.Tensor2D;
  /** Vocabulary id of each token, length T. */
  readonly tokenIdsT: Int32Array;
  /** Domain id of each token, length T. */
  readonly domainsT: Int32Array;
  readonly training: boolean;
  /** The router's own parameters by their short name (the `name` of its specs). */
  readonly parameters: ReadonlyMap<string, tf.Tensor>;
}

/** What a router decided for one batch. Which token goes where is data; the weights carry the gradient. */
export interface RoutingDecision {
  readonly numChoices: number;
  /** Global expert id of each choice, row-major [T, K]; -1 where there is none or the choice was dropped. */
  readonly expertsTK: Int32Array;
  /** Weight R of each choice, [T, K], differentiable; null means 1 for every choice. */
  readonly weightsTK: tf.Tensor2D | null;
  /** Choices per expert before any was dropped, length E. */
  readonly routedE: Int32Array;
  /** Choices per expert that were kept, length E. */
  readonly keptE: Int32Array;
  /** Choices an expert would take under its capacity; Infinity when nothing is dropped. */
  readonly capacity: number;
  /**
   * The layer's auxiliary loss, given the routed choices per expert summed over all ranks (length E); already
   * scaled by its weight. Its mean over ranks is the global loss. Null where the router has none.
   */
  readonly auxiliaryLoss: ((routedByAllRanksE: Float64Array) => tf.Scalar) | null;
}

/** Everything a router may know of the layer it serves. */
export interface RouterContext {
  readonly moe: MoeConfig;
  readonly layer: number;
  readonly dModel: number;
  readonly vocabSize: number;
  /** Level 1: the experts that a domain may use, by domain id. */
  readonly expertsOfDomain: readonly Int32Array[];
  readonly topology: Topology;
  readonly transport: Transport;
  readonly seed: number;
}

/** Level 2 of the routing: picks experts inside the domain's group. A policy is one file and one line in the map. */
export interface Router {
  readonly parameterSpecs: readonly ParameterSpec[];
  route(input: RouterInput): RoutingDecision;
}
