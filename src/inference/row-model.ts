import {
  type Architecture,
  type Attention,
  type Block,
  type Experts,
  type FeedForward,
  type Norm,
  networkOfExpert,
  type Parameter,
  type Projection,
} from '../architecture/architecture.js';
import type { LanguageModel } from '../model/language-model.js';
import type { MoeLayer } from '../model/moe-layer.js';
import { kernels } from '../ops/kernels/choose-kernels.js';
import {
  addBiasOnHost,
  cachedAttention,
  geluOnHost,
  type KeyValueCache,
  layerNormOnHost,
  rmsNormOnHost,
  swigluOnHost,
} from '../ops/on-host.js';
import { rotationBy } from '../ops/rotation.js';
import { tf } from '../ops/tensorflow.js';
import { matrix } from '../parameters/matrix.js';
import type { ParameterStore } from '../parameters/parameters.js';
import type { RouterInput, RoutingDecision } from '../routing/router.js';

// An architecture for a few rows that live on the host: see decoder.ts. Shapes: B rows, one of each sequence, S
// positions, d hidden size, C columns of a projection, H heads of queries, h size of a head, K choices of a token.

/** The row of each sequence, length B. */
interface Rows {
  readonly tokenIdsT: Int32Array;
  readonly idBefore: RouterInput['idBefore'];
  readonly domainsT: Int32Array;
  readonly positions: readonly number[];
  /** Caches of each row by attention, from the bottom; they get the keys and values of the row. */
  readonly caches: readonly (readonly KeyValueCache[])[];
  /** Called with the decision of each sparse layer and the scores of its gate; the tensors live until it returns. */
  readonly onDecision: ((layer: number, decision: RoutingDecision) => void) | undefined;
}

/** [B, d] -> [B, d], row-major. */
type Operation = (xBD: Float32Array, rows: Rows) => Float32Array;

/**
 * Returns the model for rows on the host: hidden states after the final norm, [B, d]. Low-rank pairs must be merged.
 *
 * @param model its parameters must not change from now on
 */
export function rowModel(
  model: LanguageModel,
  { dModel: d, tokens, positions, blocks, norm: finalNorm }: Architecture,
): (rows: Rows) => Float32Array {
  const { parameters } = model;
  const tokensVD = parameters.values(tokens.name);
  const positionsSD = positions && parameters.values(positions.name);
  let numAttentions = 0;
  const operationOf = ({ layer, operation }: Block): Operation => {
    if (operation.op === 'feedForward') return feedForward(parameters, operation);
    if (operation.op === 'experts') return experts(model, layer, operation);
    return attention(parameters, operation, numAttentions++);
  };
  const steps = blocks.map((block) => ({
    normalise: norm(parameters, block.norm),
    operate: operationOf(block),
  }));
  const normalise = norm(parameters, finalNorm);
  return (rows) => {
    const xBD = new Float32Array(rows.positions.length * d);
    for (const [row, position] of rows.positions.entries())
      for (let i = 0; i < d; i++)
        xBD[row * d + i] = tokensVD[rows.tokenIdsT[row]! * d + i]! + (positionsSD?.[position * d + i] ?? 0);
    for (const { normalise, operate } of steps) {
      const yBD = operate(normalise(xBD), rows);
      for (let i = 0; i < xBD.length; i++) xBD[i]! += yBD[i]!;
    }
    return normalise(xBD);
  };
}

/** Normalises rows, or each head of wider rows. */
function norm(
  parameters: ParameterStore,
  { gain, epsilon, ...rest }: Norm,
): (x: Float32Array) => Float32Array {
  const gains = parameters.values(gain.name);
  if (rest.op === 'rmsNorm') return (x) => rmsNormOnHost(x, gains, epsilon);
  const biases = parameters.values(rest.bias.name);
  return (x) => layerNormOnHost(x, gains, biases, epsilon);
}

/** Computes x W: [T, a] -> [T, b]. W is looked up each time, as a network's experts may leave memory. */
function product(parameters: ParameterStore, { name, shape }: Parameter, xTA: Float32Array): Float32Array {
  return kernels().hostRowsProduct(xTA, xTA.length / shape[0]!, matrix(parameters, name));
}

/** Computes the columns of a projection, [B, C]; those of learned rows once for all positions. */
function projection(parameters: ParameterStore, { of, weight, bias, headNorm }: Projection): Operation {
  const biasC = bias && parameters.values(bias.name);
  const normalise = headNorm && norm(parameters, headNorm);
  const project = (x: Float32Array) => {
    const columns = product(parameters, weight, x);
    if (biasC !== null) addBiasOnHost(columns, biasC);
    return normalise?.(columns) ?? columns;
  };
  if (of === 'input') return project;
  const learnedSC = project(parameters.values(of.name));
  const width = weight.shape[1]!;
  return (_, { positions }) => {
    const columnsBC = new Float32Array(positions.length * width);
    for (const [row, position] of positions.entries())
      columnsBC.set(learnedSC.subarray(position * width, (position + 1) * width), row * width);
    return columnsBC;
  };
}

/** @param index place of the attention's cache among those of a row */
function attention(
  parameters: ParameterStore,
  { numHeads, numKeyValueHeads, headDim, projections, rotation: angles, out }: Attention,
  index: number,
): Operation {
  const parts = projections.map((each) => ({ gives: each.gives, project: projection(parameters, each) }));
  const rotation = angles && rotationBy(angles);
  const width = numHeads * headDim;
  return (xBD, rows) => {
    const { positions } = rows;
    const caches = rows.caches.map((ofRow) => ofRow[index]!);
    const queries: Float32Array[] = [];
    for (const { gives, project } of parts) {
      const columnsBC = project(xBD, rows);
      let begin = 0;
      for (const [row, position] of positions.entries())
        for (const part of gives) {
          const heads = part === 'queries' ? numHeads : numKeyValueHeads;
          const columns = columnsBC.subarray(begin, begin + heads * headDim);
          if (part !== 'values') rotation?.rotate(columns, 0, heads, position, 1);
          if (part === 'queries') queries[row] = columns;
          else caches[row]![part].set(columns, position * columns.length);
          begin += columns.length;
        }
    }
    const attendedBC = new Float32Array(positions.length * width);
    for (const [row, position] of positions.entries()) {
      const y = attendedBC.subarray(row * width, (row + 1) * width);
      cachedAttention(queries[row]!, caches[row]!, position + 1, { numHeads, numKeyValueHeads }, y);
    }
    return product(parameters, out, attendedBC);
  };
}

function feedForward(parameters: ParameterStore, { activation, into, out }: FeedForward) {
  return (xTD: Float32Array): Float32Array => {
    const [firstTF, secondTF] = into.map((weight) => product(parameters, weight, xTD));
    if (activation === 'gelu') geluOnHost(firstTF!);
    else swigluOnHost(firstTF!, secondTF!);
    return product(parameters, out, activation === 'gelu' ? firstTF! : secondTF!);
  };
}

/** Computes the weighted sum of the outputs of each token's experts (LocMoE eq. 1), and of the shared experts. */
function experts(
  { parameters, sparseLayers }: LanguageModel,
  layer: string,
  { numExperts, network, shared }: Experts,
): Operation {
  const moe = sparseLayers.find((each) => `layers.${each.layer}` === layer)!;
  const networks = Array.from({ length: numExperts }, (_, expert) =>
    feedForward(parameters, networkOfExpert(network, expert)),
  );
  const addShared = shared && sharedExperts(parameters, shared);
  return (xBD, rows) => {
    const d = xBD.length / rows.positions.length;
    const { expertsTK, numChoices, weightsTK } = route(parameters, moe, xBD, rows);
    const yBD = new Float32Array(xBD.length);
    const chosen = [...new Set(expertsTK)].filter((expert) => expert >= 0).sort((a, b) => a - b);
    for (const expert of chosen) {
      const choices = [...expertsTK.keys()].filter((choice) => expertsTK[choice] === expert);
      const xND = new Float32Array(choices.length * d);
      choices.forEach((choice, i) => {
        const row = Math.floor(choice / numChoices) * d;
        xND.set(xBD.subarray(row, row + d), i * d);
      });
      const outputsND = networks[expert]!(xND);
      choices.forEach((choice, i) => {
        const row = Math.floor(choice / numChoices) * d;
        const weight = weightsTK?.[choice] ?? 1;
        for (let j = 0; j < d; j++) yBD[row + j]! += weight * outputsND[i * d + j]!;
      });
    }
    addShared?.(xBD, yBD);
    return yBD;
  };
}

/** Returns the function that adds the output of the shared experts for x to y, [B, d]. */
function sharedExperts(parameters: ParameterStore, { network, gate }: NonNullable<Experts['shared']>) {
  const run = feedForward(parameters, network);
  return (xBD: Float32Array, yBD: Float32Array): void => {
    const sharedBD = run(xBD);
    const d = network.out.shape[1]!;
    const gatesB = gate && product(parameters, gate, xBD).map((logit) => 1 / (1 + Math.exp(-logit)));
    for (let i = 0; i < yBD.length; i++) yBD[i]! += (gatesB?.[Math.floor(i / d)] ?? 1) * sharedBD[i]!;
  };
}

interface Choices {
  readonly expertsTK: Int32Array;
  readonly numChoices: number;
  readonly weightsTK: Float32Array | null;
}

function route(
  parameters: ParameterStore,
  moe: MoeLayer,
  xBD: Float32Array,
  { positions, onDecision, ...tokens }: Rows,
): Choices {
  let choices: Choices | undefined;
  tf.tidy(() => {
    const xTD = tf.tensor2d(xBD, [positions.length, xBD.length / positions.length]);
    const wantsScores = onDecision !== undefined;
    const decision = moe.route(parameters, { ...tokens, xTD, training: false, wantsScores });
    onDecision?.(moe.layer, decision);
    choices = { ...decision, weightsTK: decision.weightsTK?.dataSync<'float32'>().slice() ?? null };
  });
  return choices!;
}
