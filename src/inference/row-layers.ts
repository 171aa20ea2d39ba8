import type { LanguageModel } from '../model/language-model.js';
import type { MoeLayer } from '../model/moe-layer.js';
import type { Norm } from '../model/norms.js';
import { feedForwardWeights } from '../model/transformer-block.js';
import { kernels } from '../ops/kernels/choose-kernels.js';
import { partsOf } from '../ops/kernels/kernels.js';
import { geluOnHost, swigluOnHost } from '../ops/on-host.js';
import { tf } from '../ops/tensorflow.js';
import { matrix } from '../parameters/matrix.js';
import type { RoutingDecision } from '../routing/router.js';

// The layers of `LanguageModel` for a few rows that live on the host: see decoder.ts. Shapes: B rows, one of
// each sequence, S positions, d hidden size, F hidden size of a feed-forward network, K choices of a token.

/** A norm with its parameters: [B, d] -> [B, d]. */
export type RowNorm = ReturnType<Norm['onHost']>;

/** The tokens of the rows, length B. */
interface Tokens {
  readonly tokenIdsT: Int32Array;
  readonly domainsT: Int32Array;
  /** Called with the decision of each sparse layer and the scores of its gate; the tensors live until it returns. */
  readonly onDecision?: ((layer: number, decision: RoutingDecision) => void) | undefined;
}

/** One layer, on rows of the host. */
export interface RowLayer {
  readonly attention: {
    readonly norm: RowNorm;
    /** Queries, keys and values: [B, d] -> [B, (H + 2 K) h]. */
    project(normalBD: Float32Array, positions: readonly number[]): Float32Array;
    /** [H h, d] */
    readonly out: tf.Tensor2D;
  };
  readonly feedForward: {
    readonly norm: RowNorm;
    /** [B, d] -> [B, d] */
    run(normalBD: Float32Array, numRows: number, tokens: Tokens): Float32Array;
  };
}

/** Returns the layers of the model, from the bottom; the query layer is the last. */
export function rowLayers(model: LanguageModel): RowLayer[] {
  const { numDenseLayers, queryLayer } = model.config.model;
  const { norm, projection } = model.family;
  const normOf = (prefix: string) => norm.onHost(model.parameters, prefix);
  const selfAttention = (prefix: string): RowLayer['attention'] => ({
    norm: normOf(`${prefix}.ln_attn`),
    project: projection.onHost(model.parameters, `${prefix}.attn`),
    out: matrix(model.parameters, `${prefix}.attn.out`),
  });
  const dense = (prefix: string): RowLayer['feedForward'] => ({
    norm: normOf(`${prefix}.ln_ffn`),
    run: (normalBD, numRows) => feedForward(model, `${prefix}.ffn`, normalBD, numRows),
  });
  const sparse = (moe: MoeLayer, prefix: string): RowLayer['feedForward'] => ({
    norm: normOf(`${prefix}.ln_ffn`),
    run(normalBD, numRows, tokens) {
      const yBD = expertsOf(model, moe, prefix, normalBD, numRows, tokens);
      if (model.config.moe.sharedExperts === 0) return yBD;
      const sharedBD = feedForward(model, `${prefix}.shared`, normalBD, numRows);
      const weightsB = model.config.moe.sharedExpertGate ? openings(model, prefix, normalBD, numRows) : null;
      const d = normalBD.length / numRows;
      return yBD.map((y, i) => y + (weightsB?.[Math.floor(i / d)] ?? 1) * sharedBD[i]!);
    },
  });
  return [
    ...Array.from({ length: numDenseLayers }, (_, i) => `layers.${i}`).map((prefix) => ({
      attention: selfAttention(prefix),
      feedForward: dense(prefix),
    })),
    ...model.sparseLayers.map((moe, i) => {
      const prefix = `layers.${numDenseLayers + i}`;
      return { attention: selfAttention(prefix), feedForward: sparse(moe, prefix) };
    }),
    ...(queryLayer ? [{ attention: queryAttention(model), feedForward: dense('query') }] : []),
  ];
}

/** Returns the attention of query-layer.ts, whose queries depend on the position alone. */
function queryAttention(model: LanguageModel): RowLayer['attention'] {
  const { parameters, config } = model;
  const { seqLen, dModel: d } = config.model;
  const keysValues = matrix(parameters, 'query.attn.kv');
  const queriesSD = kernels().hostRowsProduct(
    parameters.values('query.positions'),
    seqLen,
    matrix(parameters, 'query.attn.q'),
  );
  return {
    norm: model.family.norm.onHost(parameters, 'query.ln_attn'),
    project(normalBD, positions) {
      const keysValuesBC = kernels().hostRowsProduct(normalBD, positions.length, keysValues);
      const qkvBC = new Float32Array(positions.length * 3 * d);
      positions.forEach((position, row) => {
        qkvBC.set(queriesSD.subarray(position * d, (position + 1) * d), 3 * d * row);
        qkvBC.set(keysValuesBC.subarray(2 * d * row, 2 * d * (row + 1)), 3 * d * row + d);
      });
      return qkvBC;
    },
    out: matrix(parameters, 'query.attn.out'),
  };
}

/** Computes `feedForward` of ops/ for rows on the host: [B, d] -> [B, d]. */
function feedForward(
  { parameters, family }: LanguageModel,
  prefix: string,
  xBD: Float32Array,
  numRows: number,
): Float32Array {
  const { wIns, wOut } = partsOf(feedForwardWeights(parameters, prefix, family));
  const [firstBF, secondBF] = wIns.map((wIn) => kernels().hostRowsProduct(xBD, numRows, wIn));
  if (secondBF === undefined) geluOnHost(firstBF!);
  else swigluOnHost(firstBF!, secondBF);
  return kernels().hostRowsProduct(secondBF ?? firstBF!, numRows, wOut);
}

/** Computes the value of the shared experts' gate for each row, 0 to 1: [B, d] -> [B]. */
function openings({ parameters }: LanguageModel, prefix: string, xBD: Float32Array, numRows: number) {
  const logitsB = kernels().hostRowsProduct(xBD, numRows, matrix(parameters, `${prefix}.shared.gate`));
  return logitsB.map((logit) => 1 / (1 + Math.exp(-logit)));
}

/** Computes the weighted sum of the outputs of each token's experts (LocMoE eq. 1): [B, d] -> [B, d]. */
function expertsOf(
  model: LanguageModel,
  moe: MoeLayer,
  prefix: string,
  xBD: Float32Array,
  numRows: number,
  tokens: Tokens,
): Float32Array {
  const d = xBD.length / numRows;
  const { expertsTK, numChoices, weightsTK } = route(model, moe, xBD, numRows, tokens);
  const yBD = new Float32Array(xBD.length);
  const chosen = [...new Set(expertsTK)].filter((expert) => expert >= 0).sort((a, b) => a - b);
  for (const expert of chosen) {
    const choices = [...expertsTK.keys()].filter((choice) => expertsTK[choice] === expert);
    const rows = new Float32Array(choices.length * d);
    choices.forEach((choice, i) => {
      const row = Math.floor(choice / numChoices) * d;
      rows.set(xBD.subarray(row, row + d), i * d);
    });
    const outputs = feedForward(model, `${prefix}.experts.${expert}`, rows, choices.length);
    choices.forEach((choice, i) => {
      const row = Math.floor(choice / numChoices) * d;
      const weight = weightsTK?.[choice] ?? 1;
      for (let j = 0; j < d; j++) yBD[row + j]! += weight * outputs[i * d + j]!;
    });
  }
  return yBD;
}

interface Choices {
  readonly expertsTK: Int32Array;
  readonly numChoices: number;
  readonly weightsTK: Float32Array | null;
}

function route(
  { parameters }: LanguageModel,
  moe: MoeLayer,
  xBD: Float32Array,
  numRows: number,
  { onDecision, ...tokens }: Tokens,
): Choices {
  let choices: Choices | undefined;
  tf.tidy(() => {
    const xTD = tf.tensor2d(xBD, [numRows, xBD.length / numRows]);
    const wantsScores = onDecision !== undefined;
    const decision = moe.route(parameters, { ...tokens, xTD, training: false, wantsScores });
    onDecision?.(moe.layer, decision);
    choices = { ...decision, weightsTK: decision.weightsTK?.dataSync<'float32'>().slice() ?? null };
  });
  return choices!;
}
