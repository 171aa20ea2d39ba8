import { numStepsOf } from '@locmoe/run-format';
import { Communicator } from '../collectives/communicator.js';
import type { Transport } from '../collectives/transport.js';
import { hasQueryLayer, headsOf } from '../config/model-schema.js';
import type { RunConfig } from '../config/schema.js';
import { wirePrecisionOf } from '../config/wire-precision.js';
import type { Batch, PackedTokens } from '../data/batch.js';
import { TrainerError } from '../errors.js';
import { consume } from '../ops/autograd.js';
import { embedding, gatherRows, residual } from '../ops/operations.js';
import { tf } from '../ops/tensorflow.js';
import type { SlotOptions } from '../parameters/expert-slots.js';
import { matrix } from '../parameters/matrix.js';
import { type ParameterSpec, ParameterStore } from '../parameters/parameters.js';
import type { GateControl } from '../routing/gates/gate-control.js';
import { placementOf } from '../routing/groups/expert-placement.js';
import { createRouter, expertsOfDomain, heldExperts, type Router } from '../routing/index.js';
import { backwardSpan } from './backward-span.js';
import { type BatchLoss, batchLoss } from './batch-loss.js';
import { EMBEDDING, type Family, familyOf } from './family.js';
import { alwaysDifferentiated, isFrozenBy } from './frozen.js';
import { type DecisionChange, type LayerStatistics, MoeLayer, type RoutingInspector } from './moe-layer.js';
import { queryAttention } from './query-layer.js';
import { modelSpecs, sizeOf, sparseSizeOf } from './specs.js';
import type { TouchedExpert } from './touched-experts.js';
import type { AttentionInspector } from './transformer-block.js';
import { attentionHalf, feedForwardHalf } from './transformer-block.js';

// Shapes: B sequences, S positions, T = B S tokens, d hidden size, V vocabulary.

/** Results of a forward pass over this rank's batch. Tensors live in the caller's tidy. */
export interface LossOutput extends BatchLoss {
  /** Sum of the sparse layers' weighted auxiliary losses; its mean over ranks is the global one. */
  readonly auxiliaryLoss: tf.Scalar;
  /** Statistics by sparse layer, from the bottom. */
  readonly layers: readonly LayerStatistics[];
}

export interface LossOptions {
  readonly training: boolean;
  /**
   * Divisor of the sum of the losses that count, with packed samples: their mean number per rank and
   * micro-batch, so that the mean over both is the mean over all tokens. By default their number in the batch.
   */
  readonly meanOver?: number | undefined;
  /** Called for each sparse layer, bottom to top. */
  readonly inspect?: RoutingInspector | undefined;
  /** Whether the decisions passed to `inspect` must contain the scores of the gates. */
  readonly wantsScores?: boolean | undefined;
  /** Replaces the scores of the gates, in an experiment. */
  readonly gateControl?: GateControl | undefined;
  /** Called for each sparse layer before `inspect`. */
  readonly change?: DecisionChange | undefined;
  /** Called for each layer, bottom to top. */
  readonly inspectAttention?: AttentionInspector | undefined;
  /**
   * Called in the backward pass, at the same places on every rank, before long computations between
   * collectives, to give the idle link work. It may make collective calls.
   */
  readonly onBackward?: (() => void) | undefined;
}

export type Tokens = Pick<Batch, 'numSequences' | 'seqLen' | 'tokenIds' | 'domains'> & {
  readonly packed?: Pick<PackedTokens, 'positions'> | undefined;
};

export interface HiddenOutput {
  readonly hiddenTD: tf.Tensor2D;
  readonly auxiliaryLosses: readonly tf.Scalar[];
  readonly layers: readonly LayerStatistics[];
}

/**
 * One rank's share of a language model: dense layers, sparse layers, optionally PanGu's query layer (PanGu-Sigma, arXiv
 * 2303.10845), a final norm and the softmax. The parts of its layers are those of its family.
 *
 * `loss` and `logits` make collective calls, so every rank of the world must call them in the same order.
 */
export class LanguageModel {
  readonly parameters: ParameterStore;
  /** Communicator for the all-to-alls of the sparse layers. */
  readonly communicator: Communicator;
  readonly config: RunConfig;
  /** Sparse layers from the bottom. */
  readonly sparseLayers: readonly MoeLayer[];
  readonly family: Family;

  /**
   * @param slots memory for the experts; null if all are in memory and are updated in every step
   * @throws TrainerError `BAD_CONFIG` if sizes do not divide or the router is unknown
   */
  constructor(config: RunConfig, transport: Transport, slots: SlotOptions | null = null) {
    const { model, seed } = config;
    if (!Number.isInteger(headsOf(model).headDim))
      throw new TrainerError(
        'BAD_CONFIG',
        `model.dModel ${model.dModel} is not a multiple of model.numHeads ${model.numHeads}`,
      );
    this.config = config;
    this.family = familyOf(config);
    this.communicator = new Communicator(
      transport,
      config.cluster.exchange === 'flat' ? 'flat' : 'hierarchical',
      wirePrecisionOf(config),
    );
    this.sparseLayers = sparseLayers(config, this.communicator);
    const sparseSpecs = this.sparseLayers.map(({ parameterSpecs }) => parameterSpecs);
    this.parameters = new ParameterStore(
      modelSpecs(config, sparseSpecs),
      seed,
      slots,
      isFrozenBy(config.train),
      alwaysDifferentiated(config, sizeOf(config)),
    );
  }

  get parameterSpecs(): readonly ParameterSpec[] {
    return this.parameters.specs;
  }

  /** State of all routers by global name, equal on all ranks; not copies (see Router.state). */
  get routerState(): ReadonlyMap<string, Float32Array> {
    return new Map(this.sparseLayers.flatMap((layer) => [...layer.routerState]));
  }

  /** Experts of this rank that had tokens in this step's micro-batches so far. */
  get touchedExperts(): readonly TouchedExpert[] {
    return this.sparseLayers.flatMap((layer) => layer.touchedExperts);
  }

  /** Returns this rank's experts that a step with these tokens touches; null if a router cannot tell in advance. */
  foresee(tokens: Tokens): readonly string[] | null {
    const domainsT = domainsOfTokens(tokens);
    const ofLayers = this.sparseLayers.map((layer) => layer.foresee(tokens.tokenIds, domainsT));
    return ofLayers.includes(null) ? null : ofLayers.flatMap((experts) => experts ?? []);
  }

  /** Numbers of updates of the experts of each sparse layer under `train.expertUpdate: touched`; not copies. */
  get expertUpdates(): ReadonlyMap<string, Float32Array> {
    return new Map(this.sparseLayers.map((layer) => layer.expertUpdates));
  }

  /** Sets the sparse layers' overlap degree (see DispatchOptions) of later passes; equal on all ranks. */
  useOverlap(degree: number): void {
    for (const layer of this.sparseLayers) layer.useOverlap(degree);
  }

  /** Ends a training step: the routers' state advances (see Router.endStep). */
  endStep(): void {
    for (const layer of this.sparseLayers) layer.endStep();
    this.parameters.endStep();
  }

  /** Ends a training step that is not applied: the routers' state stays as it was before the step. */
  skipStep(): void {
    for (const layer of this.sparseLayers) layer.skipStep();
    this.parameters.endStep();
  }

  loss(batch: Batch, options: LossOptions): LossOutput {
    const { hiddenTD, auxiliaryLosses, layers } = this.hidden(batch, options);
    this.communicator.spans.next('loss');
    return {
      ...consume([hiddenTD], batchLoss(hiddenTD, this.head, batch, options.meanOver)),
      auxiliaryLoss: auxiliaryLosses.reduce((sum, loss) => tf.add(sum, loss), tf.scalar(0)),
      layers,
    };
  }

  /**
   * Returns the logits (length V) of the token after `tokenIds`, a sequence of `domain` no longer than model.seqLen.
   *
   * @throws TrainerError `BAD_INPUT` if the sequence is empty or too long
   */
  logits(tokenIds: Int32Array, domain: number): Float32Array {
    const seqLen = tokenIds.length;
    if (seqLen === 0 || seqLen > this.config.model.seqLen)
      throw new TrainerError(
        'BAD_INPUT',
        `a sequence of ${seqLen} tokens: give 1 to ${this.config.model.seqLen} (model.seqLen)`,
      );
    return tf.tidy(() => {
      const tokens = { numSequences: 1, seqLen, tokenIds, domains: Int32Array.of(domain) };
      const last = tf.slice(this.hidden(tokens, { training: false }).hiddenTD, seqLen - 1, 1);
      const logits = tf.matMul(last, this.head, false, true);
      return logits.dataSync<'float32'>().slice();
    });
  }

  /** The matrix with which logits are computed, [V, d]. */
  get head(): tf.Tensor2D {
    return matrix(this.parameters, this.family.head);
  }

  dispose(): void {
    this.parameters.dispose();
  }

  /** Returns the hidden state after the final norm, [T, d]; logits are its product with the head. */
  hidden(batch: Tokens, options: LossOptions): HiddenOutput {
    const { model } = this.config;
    const { parameters, family } = this;
    const { numSequences, seqLen } = batch;
    const positionsT = batch.packed?.positions;
    const { numHeads, numKeyValueHeads } = headsOf(model);
    const shape = { numHeads, numKeyValueHeads, numSequences, seqLen, positionsT };
    const auxiliaryLosses: tf.Scalar[] = [];
    const layers: LayerStatistics[] = [];
    const { spans } = this.communicator;
    const { training, onBackward } = options;
    const whole = (x: tf.Tensor2D, part: string, layer?: number, before?: () => void) =>
      training ? consume([x], backwardSpan(this.communicator, x, part, layer, before)) : x;
    const tokens = { tokenIdsT: batch.tokenIds, domainsT: domainsOfTokens(batch), ...options };
    const experts = (moe: MoeLayer, prefix: string, xTD: tf.Tensor2D) => {
      const normalTD = family.norm.run(parameters, `${prefix}.ln_ffn`, xTD);
      const output = consume([normalTD], moe.forward(parameters, { ...tokens, xTD: normalTD }));
      layers.push(output.statistics);
      if (output.auxiliaryLoss) auxiliaryLosses.push(output.auxiliaryLoss);
      return consume([output.yTD, xTD], residual(xTD, output.yTD));
    };

    spans.next('embedding');
    let xTD = this.#embedded(batch);
    for (let layer = 0; layer < model.numDenseLayers + model.numSparseLayers; layer++) {
      const prefix = `layers.${layer}`;
      spans.next('attention', layer);
      const attendedTD = attentionHalf(family, parameters, prefix, xTD, shape, options.inspectAttention);
      xTD = whole(attendedTD, 'attention', layer, onBackward);
      const moe = this.sparseLayers[layer - model.numDenseLayers];
      spans.next(moe === undefined ? 'feed-forward' : 'gate', layer);
      xTD =
        moe === undefined
          ? whole(feedForwardHalf(family, parameters, prefix, xTD), 'feed-forward', layer, onBackward)
          : whole(experts(moe, prefix, xTD), 'combine', layer);
    }
    if (hasQueryLayer(model)) {
      spans.next('query attention');
      const attendedTD = queryAttention(parameters, 'query', xTD, shape, options.inspectAttention);
      xTD = whole(attendedTD, 'query attention', undefined, onBackward);
      spans.next('query feed-forward');
      xTD = whole(feedForwardHalf(family, parameters, 'query', xTD), 'query feed-forward');
    }
    const hiddenTD = consume([xTD], family.norm.run(parameters, 'ln_final', xTD));
    return { hiddenTD, auxiliaryLosses, layers };
  }

  /** Returns the embedding of the tokens, [T, d]. */
  #embedded({ tokenIds, seqLen, packed }: Tokens): tf.Tensor2D {
    const tokensVD = matrix(this.parameters, EMBEDDING);
    if (!this.family.hasPositions) return gatherRows(tokensVD, tokenIds);
    const positionsPD = matrix(this.parameters, 'embed.positions');
    return embedding(tokensVD, positionsPD, tokenIds, seqLen, packed?.positions);
  }
}

function sparseLayers(config: RunConfig, communicator: Communicator): MoeLayer[] {
  const { model, moe, data, cluster, seed } = config;
  const context = {
    moe,
    dModel: model.dModel,
    vocabSize: model.vocabSize,
    expertsOfDomain: expertsOfDomain(data.domains.length, moe),
    topology: communicator.topology,
    transport: communicator.transport,
    seed,
    numSteps: numStepsOf(config),
  };
  const routers: Router[] = [];
  return Array.from({ length: model.numSparseLayers }, (_, i) => {
    const layer = model.numDenseLayers + i;
    const router = createRouter({ ...context, layer, below: [...routers] });
    routers.push(router);
    return new MoeLayer({
      layer,
      held: heldExperts(moe),
      placement: placementOf(moe, communicator.topology.worldSize, layer),
      size: sparseSizeOf(config),
      router,
      communicator,
      deduplicate: cluster.deduplicate,
      overlapDegree: cluster.overlapDegree === 'auto' ? 1 : cluster.overlapDegree,
    });
  });
}

function domainsOfTokens({ numSequences, seqLen, domains }: Tokens): Int32Array {
  const domainsT = new Int32Array(numSequences * seqLen);
  domains.forEach((domain, i) => {
    domainsT.fill(domain, i * seqLen, (i + 1) * seqLen);
  });
  return domainsT;
}
