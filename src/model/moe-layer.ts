import type * as tf from '@tensorflow/tfjs-node';
import type { Transport } from '../collectives/transport.js';
import type { Router, RoutingDecision } from '../routing/router.js';
import { expertsOfRank } from './expert-placement.js';
import { expertSpecs, experts } from './experts.js';
import type { FeedForwardSize } from './feed-forward.js';
import type { Exchange } from './ops/exchange-rows.js';
import type { ParameterSource, ParameterSpec } from './parameters.js';
import { combine, dispatch, type Locality, localityOf, planDispatch } from './token-dispatcher.js';

// Shapes: T tokens of this rank, d hidden size, E experts.

/** Gathers equally long bytes of every rank, by rank. */
export type AllGather = (
  transport: Transport,
  options: { readonly mine: Uint8Array; readonly purpose: string; readonly layer?: number },
) => Uint8Array[];

export interface MoeLayerOptions {
  /** Index among all layers of the model. */
  readonly layer: number;
  readonly numExperts: number;
  readonly size: FeedForwardSize;
  readonly router: Router;
  readonly transport: Transport;
  readonly exchange: Exchange;
  readonly allGather: AllGather;
}

export interface MoeInput {
  /** Activations after the layer norm, [T, d]. */
  readonly xTD: tf.Tensor2D;
  /** Vocabulary id of each token, length T. */
  readonly tokenIdsT: Int32Array;
  /** Domain id of each token, length T. */
  readonly domainsT: Int32Array;
  readonly training: boolean;
}

/** What one sparse layer did with the tokens of this rank in one forward pass. */
export interface LayerStatistics extends Locality {
  readonly layer: number;
  /** Choices of this rank per expert before and after dropping, length E. */
  readonly routedE: Int32Array;
  readonly keptE: Int32Array;
  readonly capacity: number;
  /** Bytes of activations that left this worker in the dispatch; the combine brings as many back. */
  readonly dispatchedBytes: number;
}

export interface MoeOutput {
  /** Weighted sum of expert outputs, [T, d]; zero for tokens that were dropped. */
  readonly yTD: tf.Tensor2D;
  readonly auxiliaryLoss: tf.Scalar | null;
  readonly statistics: LayerStatistics;
}

/** A mixture-of-experts feed-forward: route, exchange counts, dispatch, experts, combine (LocMoE eq. 1). */
export class MoeLayer {
  readonly parameterSpecs: readonly ParameterSpec[];
  readonly #options: MoeLayerOptions;
  readonly #prefix: string;
  readonly #localExperts: readonly number[];

  constructor(options: MoeLayerOptions) {
    const { rank, worldSize } = options.transport.topology;
    this.#options = options;
    this.#prefix = `layers.${options.layer}`;
    this.#localExperts = expertsOfRank(options.numExperts, worldSize, rank);
    this.parameterSpecs = [
      ...options.router.parameterSpecs.map((spec) => ({ ...spec, name: this.#routerName(spec) })),
      ...expertSpecs(`${this.#prefix}.experts`, this.#localExperts, options.size),
    ];
  }

  forward(parameters: ParameterSource, input: MoeInput): MoeOutput {
    const { router, transport, layer, size } = this.#options;
    const decision = router.route({
      ...input,
      parameters: new Map(
        router.parameterSpecs.map((spec) => [spec.name, parameters.get(this.#routerName(spec))]),
      ),
    });
    const { keptOfRank, routedByAllRanksE } = this.#exchangeCounts(decision);
    const plan = planDispatch(decision, transport.topology, keptOfRank);
    const receivedRD = dispatch(input.xTD, plan, this.#options);
    const outputsRD = experts(
      parameters,
      `${this.#prefix}.experts`,
      receivedRD,
      this.#localExperts,
      plan.rowsOfLocalExpert,
    );
    const locality = localityOf(plan, transport.topology);
    return {
      yTD: combine(outputsRD, decision.weightsTK, plan, this.#options),
      auxiliaryLoss: decision.auxiliaryLoss?.(routedByAllRanksE) ?? null,
      statistics: {
        ...locality,
        layer,
        routedE: decision.routedE,
        keptE: decision.keptE,
        capacity: decision.capacity,
        dispatchedBytes: (locality.sameNode + locality.otherNode) * size.dModel * 4,
      },
    };
  }

  #routerName(spec: ParameterSpec): string {
    return `${this.#prefix}.router.${spec.name}`;
  }

  /** One small all-gather gives every rank all splits, and the global counts for the auxiliary loss. */
  #exchangeCounts({ routedE, keptE }: RoutingDecision): {
    keptOfRank: Int32Array[];
    routedByAllRanksE: Float64Array;
  } {
    const { transport, allGather, numExperts, layer } = this.#options;
    const mine = new Int32Array(2 * numExperts);
    mine.set(routedE, 0);
    mine.set(keptE, numExperts);
    const gathered = allGather(transport, { mine: new Uint8Array(mine.buffer), purpose: 'counts', layer });
    const counts = gathered.map((bytes) => new Int32Array(bytes.slice().buffer));
    const routedByAllRanksE = new Float64Array(numExperts);
    for (const ofRank of counts)
      for (let expert = 0; expert < numExperts; expert++) routedByAllRanksE[expert] += ofRank[expert];
    return { keptOfRank: counts.map((ofRank) => ofRank.subarray(numExperts)), routedByAllRanksE };
  }
}
