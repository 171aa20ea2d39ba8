import type * as tf from '@tensorflow/tfjs-node';
import type { Topology } from '../collectives/topology.js';
import type { Transport } from '../collectives/transport.js';
import type { ParameterSpec } from '../parameters/parameters.js';
import type { CommonMoe } from './common-fields.js';

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

/** Sum of the cosines between tokens and the gates of the experts they chose, over `count` choices. */
export interface GateCosine {
  readonly sum: number;
  readonly count: number;
}

/** What a router decided for one batch. Which token goes where is data; the weights carry the gradient. */
export interface RoutingDecision {
  readonly numChoices: number;
  /** Global expert id of each choice, row-major [T, K]; -1 where there is none or the choice was dropped. */
  readonly expertsTK: Int32Array;
  /** Weight R of each choice, [T, K], differentiable; null means 1 for every choice. */
  readonly weightsTK: tf.Tensor2D | null;
  /** Choices per expert before any was dropped, length E: those kept, over capacity and not chosen together. */
  readonly routedE: Int32Array;
  /** Choices per expert that were kept, length E. */
  readonly keptE: Int32Array;
  /** Choices dropped because the expert was full, length E; where experts choose, because even the classic capacity was. */
  readonly overCapacityE: Int32Array;
  /** Choices dropped because the expert preferred others or takes none so weak, length E. */
  readonly notChosenE: Int32Array;
  /** Choices that each expert takes from all ranks together, length E; Infinity where nothing limits it. */
  readonly capacityE: Float64Array;
  /** Kept choices per expert (length E) by rank, from which the dispatch follows. */
  readonly keptOfRank: readonly Int32Array[];
  /**
   * The layer's auxiliary loss of this rank, already scaled by its weight. Its mean over ranks is the global loss. Null
   * where the router has none.
   */
  readonly auxiliaryLoss: tf.Scalar | null;
  /** Measured in training; null where there is no gate vector. */
  readonly gateCosine: GateCosine | null;
}

/** Everything a router may know of the layer it serves. */
export interface RouterContext<Moe extends CommonMoe = CommonMoe> {
  readonly moe: Moe;
  readonly layer: number;
  readonly dModel: number;
  readonly vocabSize: number;
  /** Level 1: the experts that a domain may use, by domain id. */
  readonly expertsOfDomain: readonly Int32Array[];
  readonly topology: Topology;
  readonly transport: Transport;
  readonly seed: number;
  /** Updates of the whole run, for what changes with training progress. */
  readonly numSteps: number;
}

/** Level 2 of the routing in one layer: picks experts inside the domain's group (policy.ts has what a new one needs). */
export interface Router {
  readonly parameterSpecs: readonly ParameterSpec[];
  /**
   * What it has learnt or drawn beside its parameters, by short name, for checkpoints: equal on all ranks and independent
   * of the layout. The arrays are live: a resumed run writes into them.
   */
  readonly state: ReadonlyMap<string, Float32Array>;
  /**
   * Decides for the tokens of this rank, knowing those of the others: every rank calls it alike and all gather counts
   * or scores in it. With `training` it may advance its state by one step.
   *
   * @throws TrainerError as `Transport.transfer`
   */
  route(input: RouterInput): RoutingDecision;
}
