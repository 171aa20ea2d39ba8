import type { LayerNumbers } from '@locmoe/run-format';
import type * as tf from '@tensorflow/tfjs-node';
import type { Experts } from '../architecture/architecture.js';
import type { Communicator } from '../collectives/communicator.js';
import { TrainerError } from '../errors.js';
import { consume, isRecording } from '../ops/autograd.js';
import { residual } from '../ops/operations.js';
import type { ParameterSource } from '../parameters/parameters.js';
import type { GateControl } from '../routing/gates/gate-control.js';
import type { ExpertRange } from '../routing/groups/domain-groups.js';
import type { Placement } from '../routing/groups/expert-placement.js';
import type { Router, RouterInput, RoutingDecision } from '../routing/router.js';
import { backwardSpan } from './backward-span.js';
import { networkWeights } from './blocks.js';
import { localityOf } from './dispatch/dispatch-layout.js';
import type { Dispatcher, LocalExperts } from './dispatch/dispatcher.js';
import { type DispatchOptions, selectDispatcher } from './dispatch/select-dispatcher.js';
import { experts, sharedExperts } from './experts.js';
import { type TouchedExpert, TouchedExperts } from './touched-experts.js';

// Shapes: T tokens of this rank, d hidden size, E experts.

export interface MoeLayerOptions extends DispatchOptions {
  /** Index among all layers of the model. */
  readonly layer: number;
  readonly experts: Experts;
  /** Ranks that own the experts. */
  readonly placement: Placement;
  readonly router: Router;
  readonly communicator: Communicator;
}

export interface MoeInput {
  /** Activations after the layer norm, [T, d]. */
  readonly xTD: tf.Tensor2D;
  /** Vocabulary id of each token, length T. */
  readonly tokenIdsT: Int32Array;
  readonly idBefore: RouterInput['idBefore'];
  /** Domain id of each token, length T. */
  readonly domainsT: Int32Array;
  readonly training: boolean;
  readonly inspect?: RoutingInspector | undefined;
  readonly change?: DecisionChange | undefined;
  /** See RouterInput. */
  readonly wantsScores?: boolean | undefined;
  readonly gateControl?: GateControl | undefined;
  /** Called in the backward pass after the combine's all-to-all, before the experts, unless the two are overlapped. */
  readonly onBackward?: (() => void) | undefined;
}

/** Called with a sparse layer's decision before the dispatch; the tensor lives in the caller's tidy. */
export type RoutingInspector = (layer: number, xTD: tf.Tensor2D, decision: RoutingDecision) => void;

/** Replaces a sparse layer's decision before the dispatch, in an experiment on one rank. */
export type DecisionChange = (layer: number, decision: RoutingDecision) => RoutingDecision;

/** Routing statistics of one sparse layer for this rank's tokens in one forward pass. */
export interface LayerStatistics {
  readonly layer: number;
  /** Bytes of a token's activations: a kept choice sends them in the dispatch and receives them in the combine. */
  readonly rowBytes: number;
  readonly measures: LayerNumbers;
}

export interface MoeOutput {
  /** Weighted sum of expert outputs, zero for dropped tokens, plus the output of the shared experts, [T, d]. */
  readonly yTD: tf.Tensor2D;
  readonly auxiliaryLoss: tf.Scalar | null;
  readonly statistics: LayerStatistics;
}

/**
 * A mixture-of-experts feed-forward (LocMoE eq. 1): routing, which gathers counts; dispatch; experts;
 * combine. Shared experts (DeepSeekMoE, arXiv 2401.06066, eq. 9) run first, on the rank of the token.
 */
export class MoeLayer {
  readonly #prefix: string;
  /** Ids of this rank's experts. */
  readonly localExperts: readonly number[];
  readonly #touched: TouchedExperts;
  /** Dispatcher of passes that record a gradient. */
  #dispatcher: Dispatcher;
  /** Dispatcher of other passes: runs one expert after the other. */
  readonly #plainDispatcher: Dispatcher;

  constructor(private readonly options: MoeLayerOptions) {
    const { rank } = options.communicator.topology;
    this.#prefix = `layers.${options.layer}`;
    const { first, count } = options.experts.held;
    this.localExperts = options.placement.expertsOfRank(rank).map((expert) => first + expert);
    this.#touched = new TouchedExperts(first + count);
    this.#dispatcher = selectDispatcher(options, options);
    this.#plainDispatcher = selectDispatcher({ ...options, overlapDegree: 1 }, options);
  }

  forward(parameters: ParameterSource, input: MoeInput): MoeOutput {
    const { communicator, layer, placement } = this.options;
    const sharedTD = this.#shared(parameters, input);
    const routed = this.route(parameters, input);
    const decision = input.change?.(layer, routed) ?? routed;
    if (input.training) {
      this.#touched.add(decision.keptOfRank);
      parameters.touch(this.touchedExperts.map(({ name }) => name));
    }
    input.inspect?.(layer, input.xTD, decision);
    communicator.spans.next('dispatch', layer);
    const { routedE, keptE, overCapacityE, notChosenE, capacityE, gateCosine } = decision;
    const dispatched = numberedAsHeld(decision, this.options.experts.held);
    const dispatcher = isRecording() ? this.#dispatcher : this.#plainDispatcher;
    const yTD = dispatcher(input.xTD, dispatched, this.#expertsWith(parameters, input));
    return {
      yTD: sharedTD === null ? yTD : consume([yTD, sharedTD], residual(yTD, sharedTD)),
      auxiliaryLoss: decision.auxiliaryLoss,
      statistics: {
        layer,
        rowBytes: input.xTD.shape[1] * (communicator.wirePrecision === 'float32' ? 4 : 2),
        measures: {
          routed: routedE,
          overCapacity: overCapacityE,
          notChosen: notChosenE,
          kept: keptE,
          ...localityOf(dispatched.keptE, communicator.topology, placement),
          // Reports are sent as JSON, which cannot express infinity.
          capacity: capacityE.map((capacity) => (capacity === Infinity ? 0 : capacity)),
          ...(gateCosine !== null && { gateCosine: [gateCosine.sum, gateCosine.count] }),
        },
      },
    };
  }

  /** Returns the output of the shared experts, [T, d]; null if there are none. */
  #shared(parameters: ParameterSource, { xTD, training, onBackward }: MoeInput): tf.Tensor2D | null {
    const { communicator, layer, experts } = this.options;
    const { spans } = communicator;
    if (experts.shared === null) return null;
    spans.next('feed-forward', layer);
    const yTD = sharedExperts(experts.shared, parameters, xTD);
    spans.next('gate', layer);
    if (!training) return yTD;
    return consume([yTD], backwardSpan(communicator, yTD, 'feed-forward', layer, onBackward));
  }

  /** Returns the router's decision alone; a collective, like `Router.route`. */
  route(parameters: ParameterSource, input: Omit<RouterInput, 'parameters'>): RoutingDecision {
    const { router } = this.options;
    const decision = router.route({
      ...input,
      parameters: new Map(
        router.parameterSpecs.map((spec) => [spec.name, parameters.get(this.#routerName(spec), 'several')]),
      ),
    });
    assertNothingLost(decision);
    return decision;
  }

  /** Returns this rank's experts that a step with these tokens touches; null if the router cannot tell in advance. */
  foresee(...tokens: Parameters<NonNullable<Router['foresee']>>): readonly string[] | null {
    const chosen = this.options.router.foresee?.(...tokens);
    if (chosen === undefined) return null;
    const isChosen = new Set(chosen);
    return this.localExperts.filter((id) => isChosen.has(id)).map((id) => this.#nameOf(id));
  }

  /** Sets the overlap degree of later passes; equal on all ranks. */
  useOverlap(overlapDegree: number): void {
    this.#dispatcher = selectDispatcher({ ...this.options, overlapDegree }, this.options);
  }

  #expertsWith(parameters: ParameterSource, { training, onBackward }: MoeInput): LocalExperts {
    const { communicator, layer } = this.options;
    const { network } = this.options.experts;
    const { spans } = communicator;
    const whole = (x: tf.Tensor2D, part: string, before?: () => void) =>
      training ? backwardSpan(communicator, x, part, layer, before) : x;
    return {
      run: (rows, numRows) => {
        spans.next('experts', layer);
        const xRD = whole(rows, 'gate');
        const outputs = experts(network, parameters, xRD, this.localExperts, numRows);
        if (training) consume([xRD], outputs);
        const yRD = consume([outputs], whole(outputs, 'experts', onBackward));
        spans.next('combine', layer);
        return yRD;
      },
      weights: (numRows) =>
        this.localExperts.map((id, i) => (numRows[i] === 0 ? null : networkWeights(network, parameters, id))),
    };
  }

  /** The router's state by global name; the arrays are live. */
  get routerState(): ReadonlyMap<string, Float32Array> {
    const { router } = this.options;
    return new Map([...router.state].map(([name, values]) => [this.#routerName({ name }), values]));
  }

  /** Index among all layers of the model. */
  get layer(): number {
    return this.options.layer;
  }

  /** Experts of this rank with tokens in the micro-batches of this step so far, in the order of their ids. */
  get touchedExperts(): readonly TouchedExpert[] {
    return this.localExperts
      .filter((id) => this.#touched.has(id))
      .map((id) => ({ name: this.#nameOf(id), updates: this.#touched.updatesE[id]! }));
  }

  #nameOf(expert: number): string {
    return `${this.#prefix}.experts.${expert}`;
  }

  /** Numbers of updates of each expert under `train.expertUpdate: touched`, by global name; not a copy. */
  get expertUpdates(): readonly [name: string, updatesE: Float32Array] {
    return [`${this.#prefix}.experts`, this.#touched.updatesE];
  }

  /** Ends a training step (see Router.endStep). */
  endStep(): void {
    this.options.router.endStep();
    this.#touched.endStep();
  }

  /** Ends a training step that is not applied (see Router.skipStep). */
  skipStep(): void {
    this.options.router.skipStep();
    this.#touched.skipStep();
  }

  #routerName({ name }: { readonly name: string }): string {
    return `${this.#prefix}.router.${name}`;
  }
}

/** Restricts a decision's lists to the experts that the model holds, numbered from 0; no token goes to any other expert. */
function numberedAsHeld(decision: RoutingDecision, { first, count }: ExpertRange): RoutingDecision {
  if (count === decision.keptE.length) return decision;
  const end = first + count;
  return {
    ...decision,
    expertsTK: decision.expertsTK.map((expert) => (expert < 0 ? expert : expert - first)),
    routedE: decision.routedE.slice(first, end),
    keptE: decision.keptE.slice(first, end),
    overCapacityE: decision.overCapacityE.slice(first, end),
    notChosenE: decision.notChosenE.slice(first, end),
    capacityE: decision.capacityE.slice(first, end),
    keptOfRank: decision.keptOfRank.map((keptE) => keptE.slice(first, end)),
  };
}

/**
 * Checks that every choice is either kept or dropped for a reason; a router that loses some would silently train on less data.
 */
function assertNothingLost({ routedE, keptE, overCapacityE, notChosenE }: RoutingDecision): void {
  routedE.forEach((routed, expert) => {
    const accounted = keptE[expert]! + overCapacityE[expert]! + notChosenE[expert]!;
    if (routed !== accounted)
      throw new TrainerError(
        'INTERNAL',
        `expert ${expert}: ${routed} choices routed but ${accounted} accounted for (${keptE[expert]} kept, ` +
          `${overCapacityE[expert]} over capacity, ${notChosenE[expert]} not chosen)`,
      );
  });
}
