import type { Topology } from '../collectives/topology.js';
import type { Transport } from '../collectives/transport.js';
import type { tf } from '../ops/tensorflow.js';
import type { ParameterSpec } from '../parameters/parameters.js';
import type { CommonMoe } from './common-fields.js';
import type { GateControl } from './gates/gate-control.js';

// Shapes: T tokens of this rank, d hidden size, E experts of the layer, K maximum choices per token.

export interface RouterInput {
  /** Activations after the layer norm, [T, d]. */
  readonly xTD: tf.Tensor2D;
  /** Vocabulary id of each token, length T. */
  readonly tokenIdsT: Int32Array;
  /** Returns the id `distance` tokens before token `t` of this rank, or the first that attention sees. */
  readonly idBefore: (t: number, distance: number) => number;
  /** Domain id of each token, length T. */
  readonly domainsT: Int32Array;
  readonly training: boolean;
  /** Whether the decision must contain the gate's scores, for a recording, whose score columns otherwise stay empty. */
  readonly wantsScores?: boolean | undefined;
  /**
   * The replacement of the gate's scores that `locmoe eval --ablate` requests; a router passes its scores through `controlled`.
   */
  readonly gateControl?: GateControl | undefined;
  /** The router's own parameters by their short name (the `name` of its specs). */
  readonly parameters: ReadonlyMap<string, tf.Tensor>;
}

/** Sum of the cosines between tokens and the gates of the experts they chose, over `count` choices. */
export interface GateCosine {
  readonly sum: number;
  readonly count: number;
}

/** Scores by which a gate ranks experts: gate + bias + preference. */
export interface GateScores {
  /** Score of the gate alone, row-major [T, E]. */
  readonly gateTE: Float32Array;
  /** Bias of each expert, length E; null for a gate without biases. */
  readonly biasE: Float32Array | null;
  /** Preference of each token's id (TokenPreference), row-major [T, E]; null without preferences. */
  readonly preferenceTE: Float32Array | null;
}

/** A router's decision for one batch. The choice of experts is data; the weights carry the gradient. */
export interface RoutingDecision {
  readonly numChoices: number;
  /** Global expert id of each choice, row-major [T, K]; -1 where there is none or the choice was dropped. */
  readonly expertsTK: Int32Array;
  /** Expert ids before drops; -1 where there is no choice. */
  readonly chosenTK: Int32Array;
  /** 1 for a choice that its expert did not choose, [T, K]; null if every dropped choice is over capacity. */
  readonly notChosenTK: Uint8Array | null;
  /** Omitted if not requested, and by a router without a gate. */
  readonly scores?: GateScores | undefined;
  /** Weight R of each choice, [T, K], differentiable; null means 1 for every choice. */
  readonly weightsTK: tf.Tensor2D | null;
  /** Choices per expert before drops, length E: kept + over capacity + not chosen. */
  readonly routedE: Int32Array;
  /** Kept choices per expert, length E. */
  readonly keptE: Int32Array;
  /** Choices dropped for lack of capacity, length E; with expert choice, of classic capacity. */
  readonly overCapacityE: Int32Array;
  /** Choices dropped by expert choice or below the expert's threshold, length E. */
  readonly notChosenE: Int32Array;
  /** Capacity of each expert over all ranks, in choices, length E; Infinity if unlimited. */
  readonly capacityE: Float64Array;
  /** Kept choices per expert (length E) of each rank; the splits of the all-to-all follow from them. */
  readonly keptOfRank: readonly Int32Array[];
  /**
   * Auxiliary loss of this rank, already weighted; its mean over ranks is the global loss. Null if there is
   * none, as outside training.
   */
  readonly auxiliaryLoss: tf.Scalar | null;
  /** Null outside training and without gate vectors. */
  readonly gateCosine: GateCosine | null;
}

/** The part of a decision that follows from which choices are kept. */
export type Selection = Omit<
  RoutingDecision,
  'numChoices' | 'scores' | 'weightsTK' | 'auxiliaryLoss' | 'gateCosine'
>;

/** Context of a router: one sparse layer of one rank. */
export interface RouterContext<Moe extends CommonMoe = CommonMoe> {
  readonly moe: Moe;
  readonly layer: number;
  readonly dModel: number;
  readonly vocabSize: number;
  /** Level 1: expert ids that a domain may use, by domain id. */
  readonly expertsOfDomain: readonly Int32Array[];
  readonly topology: Topology;
  readonly transport: Transport;
  readonly seed: number;
  /** Steps of the whole run, for schedules. */
  readonly numSteps: number;
  /** Routers of the sparse layers below, from the bottom. */
  readonly below: readonly Pick<Router, 'table'>[];
}

/** The router of one layer: chooses experts within the domain's group (level 2). */
export interface Router {
  readonly parameterSpecs: readonly ParameterSpec[];
  /**
   * State beside the parameters, by short name; saved in checkpoints. Equal on all ranks and independent of
   * the layout. The arrays are live: loading a checkpoint writes into them.
   */
  readonly state: ReadonlyMap<string, Float32Array>;
  /**
   * Routes the tokens of this rank. This is a collective call: the ranks exchange counts or scores.
   *
   * @throws TrainerError as `Transport.transfer`
   */
  route(input: RouterInput): RoutingDecision;
  /**
   * Returns the experts to which each token is sent in training, or at which it is dropped, [T, K], if only token ids and
   * domain decide; undefined if activations do.
   */
  readonly foresee?: (
    tokenIdsT: Int32Array,
    domainsT: Int32Array,
    idBefore: RouterInput['idBefore'],
  ) => Int32Array;
  /** Returns the expert of each id and domain, row-major [D, V], -1 for none; null until votes have formed a table. */
  readonly table?: () => Int32Array | null;
  /**
   * Ends a training step, in which one batch was routed with `training` for each micro-batch. The state
   * advances here, by one step however many batches there were.
   */
  endStep(): void;
  /** Ends a training step that is not applied: discards what `route` has seen in it; the state is unchanged. */
  skipStep(): void;
}

/** A router as its policy creates it: what it leaves out, it does not need. */
export type CreatedRouter = Pick<Router, 'route' | 'foresee' | 'table'> &
  Partial<Pick<Router, 'state' | 'endStep' | 'skipStep'>>;
