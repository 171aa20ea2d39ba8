import type { Architecture, Block } from '../architecture/architecture.js';
import { Communicator } from '../collectives/communicator.js';
import type { Transport } from '../collectives/transport.js';
import { headsOf } from '../config/model-schema.js';
import type { RunConfig } from '../config/schema.js';
import { wirePrecisionOf } from '../config/wire-precision.js';
import type { Batch, PackedTokens } from '../data/batch.js';
import { TrainerError } from '../errors.js';
import { consume } from '../ops/autograd.js';
import { combine } from '../ops/elementwise.js';
import { feedForward } from '../ops/feed-forward.js';
import { embedding, gatherRows, residual } from '../ops/operations.js';
import { tf } from '../ops/tensorflow.js';
import type { SlotOptions } from '../parameters/expert-slots.js';
import { matrix } from '../parameters/matrix.js';
import { type ParameterSpec, ParameterStore } from '../parameters/parameters.js';
import type { GateControl } from '../routing/gates/gate-control.js';
import type { RouterInput } from '../routing/index.js';
import { backwardSpan } from './backward-span.js';
import { type BatchLoss, batchLoss } from './batch-loss.js';
import { attention, networkWeights, normalised } from './blocks.js';
import { describe } from './describe.js';
import { alwaysDifferentiated, isFrozenBy } from './frozen.js';
import type { DecisionChange, LayerStatistics, MoeLayer, RoutingInspector } from './moe-layer.js';
import { sparseLayers } from './sparse-layers.js';
import { modelSpecs } from './specs.js';
import type { TouchedExpert } from './touched-experts.js';

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
  /**
   * Called for each attention, bottom to top, with the prefix of its parameters' names, queries, keys and values,
   * [T, (H + 2 K) h]; the tensor lives in the caller's tidy.
   */
  readonly inspectAttention?: ((prefix: string, qkvTC: tf.Tensor2D) => void) | undefined;
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
 * 2303.10845), a final norm and the softmax. It computes what its architecture says.
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
  readonly architecture: Architecture;

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
    this.architecture = describe(config);
    this.communicator = new Communicator(
      transport,
      config.cluster.exchange === 'flat' ? 'flat' : 'hierarchical',
      wirePrecisionOf(config),
    );
    this.sparseLayers = sparseLayers(config, this.architecture, this.communicator);
    this.parameters = new ParameterStore(
      modelSpecs(
        config,
        this.sparseLayers.map(({ localExperts }) => localExperts),
      ),
      seed,
      slots,
      isFrozenBy(config.train),
      alwaysDifferentiated(config),
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
    const [domainsT, idBefore] = [domainsOfTokens(tokens), idBeforeIn(tokens)];
    const ofLayers = this.sparseLayers.map((layer) => layer.foresee(tokens.tokenIds, domainsT, idBefore));
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
      auxiliaryLoss: auxiliaryLosses.reduce((sum, loss) => combine('add', sum, loss), tf.scalar(0)),
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
    return matrix(this.parameters, this.architecture.head.name);
  }

  dispose(): void {
    this.parameters.dispose();
  }

  /** Returns the hidden state after the final norm, [T, d]; logits are its product with the head. */
  hidden(batch: Tokens, options: LossOptions): HiddenOutput {
    const { parameters, communicator } = this;
    const { blocks, norm } = this.architecture;
    const { numSequences, seqLen } = batch;
    const sequences = { numSequences, seqLen, positionsT: batch.packed?.positions };
    const auxiliaryLosses: tf.Scalar[] = [];
    const layers: LayerStatistics[] = [];
    const { training, onBackward, inspectAttention } = options;
    const ofBatch = {
      tokenIdsT: batch.tokenIds,
      idBefore: idBeforeIn(batch),
      domainsT: domainsOfTokens(batch),
    };
    const tokens = { ...ofBatch, ...options };
    const operate = ({ layer, operation }: Block, xTD: tf.Tensor2D): tf.Tensor2D => {
      if (operation.op === 'attention') {
        const inspect =
          inspectAttention && ((qkvTC: tf.Tensor2D) => inspectAttention(`${layer}.attn`, qkvTC));
        return attention(operation, parameters, xTD, sequences, inspect);
      }
      if (operation.op === 'feedForward') return feedForward(xTD, networkWeights(operation, parameters));
      // The sparse layers are in the order of their blocks.
      const output = this.sparseLayers[layers.length]!.forward(parameters, { ...tokens, xTD });
      layers.push(output.statistics);
      if (output.auxiliaryLoss) auxiliaryLosses.push(output.auxiliaryLoss);
      return output.yTD;
    };

    communicator.spans.next('embedding');
    let xTD = this.#embedded(batch);
    for (const block of blocks) {
      const { layer, forward, backward } = spansOf(block);
      communicator.spans.next(forward, layer);
      const normalTD = normalised(block.norm, parameters, xTD);
      const yTD = consume([normalTD], operate(block, normalTD));
      xTD = consume([yTD, xTD], residual(xTD, yTD));
      // A sparse layer calls it itself; before the query layer's feed-forward hardly any gradient is there to send.
      const before = backward === 'combine' || backward === 'query feed-forward' ? undefined : onBackward;
      if (training) xTD = consume([xTD], backwardSpan(communicator, xTD, backward, layer, before));
    }
    return { hiddenTD: consume([xTD], normalised(norm, parameters, xTD)), auxiliaryLosses, layers };
  }

  /** Returns the embedding of the tokens, [T, d]. */
  #embedded({ tokenIds, seqLen, packed }: Tokens): tf.Tensor2D {
    const { tokens, positions } = this.architecture;
    const tokensVD = matrix(this.parameters, tokens.name);
    if (positions === null) return gatherRows(tokensVD, tokenIds);
    return embedding(tokensVD, matrix(this.parameters, positions.name), tokenIds, seqLen, packed?.positions);
  }
}

/** Returns the spans of a block's passes and the index of its layer, which the query layer does not have. */
function spansOf({ layer: name, operation: { op } }: Block) {
  const part = op === 'attention' ? 'attention' : 'feed-forward';
  if (name === 'query') return { layer: undefined, forward: `query ${part}`, backward: `query ${part}` };
  const layer = Number(name.slice('layers.'.length));
  return op === 'experts'
    ? { layer, forward: 'gate', backward: 'combine' }
    : { layer, forward: part, backward: part };
}

function domainsOfTokens({ numSequences, seqLen, domains }: Tokens): Int32Array {
  const domainsT = new Int32Array(numSequences * seqLen);
  domains.forEach((domain, i) => {
    domainsT.fill(domain, i * seqLen, (i + 1) * seqLen);
  });
  return domainsT;
}

function idBeforeIn({ tokenIds, seqLen, packed }: Tokens): RouterInput['idBefore'] {
  return (t, distance) => tokenIds[t - Math.min(distance, packed?.positions[t] ?? t % seqLen)]!;
}
