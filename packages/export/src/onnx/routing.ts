import type { RunConfig } from 'locmoe/internal/config/schema';
import { expertsOfDomain } from 'locmoe/internal/routing/domain-groups';
import { LEAST_SQUARED_NORM } from 'locmoe/internal/routing/grap';
import { refuseControl } from '../refuse-control.js';
import { FLOAT, type Graph, INT64, type Value } from './graph.js';

// Shapes: B sequences, S positions, d hidden size, E experts, K candidates of a token, D domains, V
// vocabulary.

/** Experts that take each token, and their weights. */
export interface Routing {
  /** Whether the expert takes the token, bool [B, S, E]. */
  readonly keptBSE: Value;
  /** Weight of its output, [B, S, E]; undefined where the expert does not take the token. */
  readonly weightsBSE: Value;
  /** Affinity of the router between the token and the expert, [B, S, E]. */
  readonly affinitiesBSE: Value;
}

/** Inputs of the router of one layer. */
export interface RoutingInput {
  readonly graph: Graph;
  readonly config: RunConfig;
  /** Activations after the layer norm, [B, S, d]. */
  readonly xBSD: Value;
  /** Token ids, int64 [B, S]. */
  readonly tokenIdsBS: Value;
  /** Domain of each sequence, int64 [B]. */
  readonly domainB: Value;
  /** A parameter or the state of the router as a constant, by its short name. */
  parameter(name: string, shape: readonly number[]): Value;
}

/**
 * Adds the input `domain`. A negative id is replaced by one that is too high, which Gather refuses; Gather
 * would take -1 for the last domain.
 */
export function domainInput(graph: Graph, { data }: RunConfig): Value {
  const domainB = graph.input({ name: 'domain', type: 'INT64', shape: ['batch_size'] });
  const isNegativeB = graph.node('Less', [domainB, graph.integer(0)]);
  return graph.node('Where', [isNegativeB, graph.integer(data.domains.length), domainB]);
}

/**
 * Builds the routing of one layer outside training, which does not depend on later tokens or on the batch.
 */
export type RoutingBuilder = (input: RoutingInput) => Routing;

/** Builders by router name; each repeats the rule of src/routing in ONNX operators. */
export const ROUTINGS: Readonly<Record<string, RoutingBuilder>> = {
  'expert-choice': expertChoiceRouting,
  hash: hashRouting,
  switch: switchRouting,
  locmoe: locmoeRouting,
  'locmoe-plus': locmoePlusRouting,
  moge: mogeRouting,
  deepseek: deepseekRouting,
};

/** Routes by a table from the domain and the token id to the expert, -1 for none; the weight is 1. */
function hashRouting({ graph, config, tokenIdsBS, domainB, parameter }: RoutingInput): Routing {
  const { vocabSize } = config.model;
  const table = parameter('table', [config.data.domains.length * vocabSize]);
  const firstB = graph.node('Mul', [domainB, graph.integer(vocabSize)]);
  const placeBS = graph.node('Add', [tokenIdsBS, unsqueeze(graph, firstB, 1)]);
  const expertBS = graph.node('Cast', [graph.node('Gather', [table, placeBS])], { to: INT64 });
  const keptBSE = isExpert(graph, config, unsqueeze(graph, expertBS, -1));
  const weightsBSE = asFloat(graph, keptBSE);
  return { keptBSE, weightsBSE, affinitiesBSE: weightsBSE };
}

/** Routes by softmax(x W_g) over the group; the experts with the highest probability take the token. */
function switchRouting(input: RoutingInput): Routing {
  const probsBSE = softmaxOfDenseGate(input);
  return topRouting(input, probsBSE, probsBSE);
}

/**
 * Routes by softmax(x W_g) over the group; of its candidates, an expert takes those whose probability reaches
 * its running threshold.
 */
function expertChoiceRouting(input: RoutingInput): Routing {
  const { graph, config, parameter } = input;
  const { numExperts, candidatesPerToken } = config.moe;
  const probsBSE = softmaxOfDenseGate(input);
  const candidatesBSE = tokenChoice(input, probsBSE, candidatesPerToken ?? numExperts);
  const isLikedBSE = graph.node('GreaterOrEqual', [probsBSE, parameter('threshold', [numExperts])]);
  const keptBSE = graph.node('And', [candidatesBSE, isLikedBSE]);
  return { keptBSE, weightsBSE: probsBSE, affinitiesBSE: probsBSE };
}

/**
 * Routes by softmax(ReLU(w_i . x + e_i) + preference) over the group; the experts with the greatest arguments
 * take the token.
 */
function locmoeRouting(input: RoutingInput): Routing {
  const { graph, config, parameter } = input;
  const { moe } = config;
  const scaledBSE = graph.node('Mul', [groupProjection(input), graph.float(moe.gateScale)]);
  const argumentBSE = graph.node('Add', [scaledBSE, parameter('bias', [moe.numExperts])]);
  const probsBSE = softmaxOfGroup(input, withPreference(input, graph.node('Relu', [argumentBSE])));
  return topRouting(input, withPreference(input, argumentBSE), probsBSE);
}

/**
 * Routes each token to the K experts with the highest score, weighted by their probabilities or, with K > 1,
 * by their shares of the sum of these K probabilities.
 */
function topRouting(input: RoutingInput, scoresBSE: Value, probsBSE: Value): Routing {
  const { graph, config } = input;
  const K = config.moe.expertsPerToken;
  const [, expertsBSK] = graph.nodeWith(2, 'TopK', [keepToGroup(input, scoresBSE), graph.integers(K)]);
  const onesBSK = asFloat(graph, graph.node('GreaterOrEqual', [expertsBSK, graph.integer(0)]));
  const keptBSE = taken(graph, probsBSE, expertsBSK, onesBSK, 2);
  const weightsBSE = K === 1 ? probsBSE : shareOfCandidates(graph, probsBSE, keptBSE);
  return { keptBSE, weightsBSE, affinitiesBSE: probsBSE };
}

/** Whether each expert is among `chosen` with `isTaken` true, bool in the shape of `scores`. */
function taken(graph: Graph, scores: Value, chosen: Value, isTaken: Value, axis: number): Value {
  const zeros = graph.node('Mul', [scores, graph.float(0)]);
  const ones = graph.node('ScatterElements', [zeros, chosen, isTaken], { axis });
  return graph.node('Greater', [ones, graph.float(0)]);
}

/**
 * Routes a token to those of its candidates that keep it. The candidates are its best experts until their probabilities
 * add up to the threshold, at most K. An expert keeps the tokens whose affinity reaches its running threshold. Weights
 * are relative to all candidates, kept or not, or express how far the affinity is above the threshold.
 */
function locmoePlusRouting(input: RoutingInput): Routing {
  const { graph, config, parameter } = input;
  const { moe, model } = config;
  refuseControl(moe);
  const affinitiesBSE = withPreference(input, cosineAffinity(input));
  const sharpness = graph.float(Math.sqrt(model.dModel) / moe.temperature);
  const probsBSE = softmaxOfGroup(input, graph.node('Mul', [affinitiesBSE, sharpness]));
  const candidatesBSE =
    moe.selection === 'ecr'
      ? tokenChoice(input, probsBSE, moe.numExperts)
      : tokenChoice(input, probsBSE, moe.maxExpertsPerToken, moe.affinityThreshold);
  const shares = () => shareOfCandidates(graph, probsBSE, candidatesBSE);
  if (moe.selection === 'tcr') return { keptBSE: candidatesBSE, weightsBSE: shares(), affinitiesBSE };
  const thresholdE = parameter('threshold', [moe.numExperts]);
  const marginBSE = graph.node('Mul', [graph.node('Sub', [affinitiesBSE, thresholdE]), sharpness]);
  const margins = () => graph.node('Tanh', [graph.node('Relu', [marginBSE])]);
  const isLikedBSE = graph.node('GreaterOrEqual', [affinitiesBSE, thresholdE]);
  const keptBSE = graph.node('And', [candidatesBSE, isLikedBSE]);
  return { keptBSE, weightsBSE: moe.choiceWeights === 'margin' ? margins() : shares(), affinitiesBSE };
}

/** Probabilities divided by the sum over all candidates, [B, S, E]. */
function shareOfCandidates(graph: Graph, probsBSE: Value, candidatesBSE: Value): Value {
  const ofCandidatesBSE = graph.node('Mul', [probsBSE, asFloat(graph, candidatesBSE)]);
  const sumBS1 = graph.node('ReduceSum', [ofCandidatesBSE, graph.integers(-1)], { keepdims: 1 });
  return graph.node('Div', [ofCandidatesBSE, sumBS1]);
}

/**
 * Routes by softmax(x W_g) over the group; in each of its device groups, the experts with the highest
 * probability take the token.
 */
function mogeRouting(input: RoutingInput): Routing {
  const { graph, config } = input;
  const { numExperts, expertGroups, deviceGroups, choicesPerDeviceGroup } = config.moe;
  const probsBSE = softmaxOfDenseGate(input);
  // There are P parts over all domains; level 1 keeps those of the sequence's domain.
  const numParts = expertGroups * deviceGroups;
  const partsBSPN = graph.node('Reshape', [probsBSE, graph.integers(0, 0, numParts, numExperts / numParts)]);
  const [bestBSPK, expertsBSPK] = graph.nodeWith(2, 'TopK', [
    partsBSPN,
    graph.integers(choicesPerDeviceGroup),
  ]);
  const onesBSPK = asFloat(graph, graph.node('GreaterOrEqual', [bestBSPK, graph.float(0)]));
  const takenBSPN = asFloat(graph, taken(graph, partsBSPN, expertsBSPK, onesBSPK, 3));
  const takenBSE = graph.node('Reshape', [takenBSPN, graph.integers(0, 0, numExperts)]);
  const keptBSE = graph.node('Greater', [keepToGroup(input, takenBSE), graph.float(0)]);
  return { keptBSE, weightsBSE: probsBSE, affinitiesBSE: probsBSE };
}

/**
 * Routes by sigmoid(x W_g); the experts of the group with the highest sum of score and bias take the token,
 * weighted by their scores.
 */
function deepseekRouting(input: RoutingInput): Routing {
  const { graph, config, parameter } = input;
  const sigmoidBSE = graph.node('Sigmoid', [keepToGroup(input, denseGate(input))]);
  const biasedBSE = graph.node('Add', [sigmoidBSE, parameter('bias', [config.moe.numExperts])]);
  const scoresBSE = withPreference(input, biasedBSE);
  return topRouting(input, limitToDeviceGroups(input, scoresBSE), sigmoidBSE);
}

/** Adds -1e9 to the scores of experts outside the best device groups of a token. */
function limitToDeviceGroups(input: RoutingInput, scoresBSE: Value): Value {
  const { graph, config } = input;
  const { numExperts, expertGroups, expertsPerToken, deviceGroups, maxDeviceGroups } = config.moe;
  if (maxDeviceGroups === null) return scoresBSE;
  // There are P groups over all domains; level 1 keeps those of the sequence's domain.
  const numParts = expertGroups * deviceGroups;
  const shape = graph.integers(0, 0, numParts, numExperts / numParts);
  const partsBSPN = graph.node('Reshape', [keepToGroup(input, scoresBSE), shape]);
  const [bestBSPK] = graph.nodeWith(2, 'TopK', [
    partsBSPN,
    graph.integers(expertsPerToken / maxDeviceGroups),
  ]);
  const sumsBSP = graph.node('ReduceSum', [bestBSPK, graph.integers(-1)], { keepdims: 0 });
  const [, openBSM] = graph.nodeWith(2, 'TopK', [sumsBSP, graph.integers(maxDeviceGroups)]);
  const onesBSM = asFloat(graph, graph.node('GreaterOrEqual', [openBSM, graph.integer(0)]));
  const isOpenBSP1 = unsqueeze(graph, taken(graph, sumsBSP, openBSM, onesBSM, 2), -1);
  const limitedBSPN = graph.node('Where', [isOpenBSP1, partsBSPN, graph.float(-1e9)]);
  return graph.node('Reshape', [limitedBSPN, graph.integers(0, 0, numExperts)]);
}

/**
 * Returns the most probable experts of each token until their probabilities add up to the threshold, bool [B, S, E].
 */
function tokenChoice(
  { graph, config }: RoutingInput,
  probsBSE: Value,
  maxChoices: number,
  threshold = Infinity,
): Value {
  const numChoices = Math.min(maxChoices, groupsOf(config)[0]!.length);
  const [bestBSK, expertsBSK] = graph.nodeWith(2, 'TopK', [probsBSE, graph.integers(numChoices)]);
  const beforeBSK = graph.node('CumSum', [bestBSK, graph.integer(2)], { exclusive: 1 });
  const takenBSK = asFloat(graph, graph.node('Less', [beforeBSK, graph.float(threshold)]));
  return taken(graph, probsBSE, expertsBSK, takenBSK, 2);
}

/** Computes x . w_i / |w_i| with the GrAP gates, [B, S, E] (src/routing/grap.ts). */
function groupProjection(input: RoutingInput): Value {
  const { graph, config, xBSD } = input;
  const { numExperts, learnedGroups } = config.moe;
  const width = config.model.dModel / numExperts;
  const weightedBSD = learnedGroups ? graph.node('Mul', [xBSD, blocks(input)]) : xBSD;
  const groupsBSEW = graph.node('Reshape', [weightedBSD, graph.integers(0, 0, numExperts, width)]);
  const meansBSE = graph.node('ReduceMean', [groupsBSEW, graph.integers(-1)], { keepdims: 0 });
  return graph.node('Mul', [meansBSE, graph.float(Math.sqrt(width))]);
}

/** Computes the cosines between tokens and gates, [B, S, E]. */
function cosineAffinity(input: RoutingInput): Value {
  const { graph, config, xBSD } = input;
  const rootOf = (squares: Value) =>
    graph.node('Sqrt', [graph.node('Add', [squares, graph.float(LEAST_SQUARED_NORM)])]);
  const squaresBS1 = graph.node('ReduceSumSquare', [xBSD, graph.integers(-1)], { keepdims: 1 });
  const cosinesBSE = graph.node('Div', [groupProjection(input), rootOf(squaresBS1)]);
  if (!config.moe.learnedGroups) return cosinesBSE;
  const blocksEW = graph.node('Reshape', [blocks(input), graph.integers(config.moe.numExperts, -1)]);
  const squaresEW = graph.node('Mul', [blocksEW, blocksEW]);
  const meansE = graph.node('ReduceMean', [squaresEW, graph.integers(-1)], { keepdims: 0 });
  return graph.node('Div', [cosinesBSE, rootOf(meansE)]);
}

/** Returns the factors of the learned groups, [d]. */
function blocks({ config, parameter }: RoutingInput): Value {
  return parameter('blocks', [config.model.dModel]);
}

/** Computes the softmax over the experts of the domain's group, [B, S, E]. */
function softmaxOfGroup(input: RoutingInput, logitsBSE: Value): Value {
  return input.graph.node('Softmax', [keepToGroup(input, logitsBSE)], { axis: -1 });
}

/** Computes the softmax of x W_g over the experts of the domain's group, [B, S, E]. */
function softmaxOfDenseGate(input: RoutingInput): Value {
  return softmaxOfGroup(input, withPreference(input, denseGate(input)));
}

/** Computes x W_g, [B, S, E]. */
function denseGate({ graph, config, xBSD, parameter }: RoutingInput): Value {
  return graph.node('MatMul', [xBSD, parameter('weight', [config.model.dModel, config.moe.numExperts])]);
}

/** Adds the preference of the token ids, if the model has one (src/routing/token-preference.ts). */
function withPreference({ graph, config, tokenIdsBS, parameter }: RoutingInput, scoresBSE: Value): Value {
  const { moe, model } = config;
  if (moe.tokenPreference === 0) return scoresBSE;
  const flat = parameter('preference', [model.vocabSize * moe.numExperts]);
  const preferenceVE = graph.node('Reshape', [flat, graph.integers(-1, moe.numExperts)]);
  return graph.node('Add', [scoresBSE, graph.node('Gather', [preferenceVE, tokenIdsBS])]);
}

/** Adds -1e9 to the logits of experts outside the group of the sequence's domain (level 1). */
function keepToGroup({ graph, config, domainB }: RoutingInput, logitsBSE: Value): Value {
  const { numExperts, expertGroups } = config.moe;
  if (expertGroups === 1) return logitsBSE;
  const groups = groupsOf(config);
  const maskDE = new Float32Array(groups.length * numExperts).fill(-1e9);
  groups.forEach((group, domain) => {
    for (const expert of group) maskDE[domain * numExperts + expert] = 0;
  });
  const mask = graph.initializer('groups of domains', [groups.length, numExperts], maskDE);
  return graph.node('Add', [logitsBSE, unsqueeze(graph, graph.node('Gather', [mask, domainB]), 1)]);
}

function groupsOf({ data, moe }: RunConfig): Int32Array[] {
  return expertsOfDomain(data.domains.length, moe);
}

/** Whether each expert equals the given one, bool [B, S, E]. */
function isExpert(graph: Graph, { moe }: RunConfig, expertBS1: Value): Value {
  return graph.node('Equal', [expertBS1, graph.integers(...Array(moe.numExperts).keys())]);
}

function asFloat(graph: Graph, value: Value): Value {
  return graph.node('Cast', [value], { to: FLOAT });
}

function unsqueeze(graph: Graph, value: Value, axis: number): Value {
  return graph.node('Unsqueeze', [value, graph.integers(axis)]);
}
