import type { Architecture, Parameter } from 'locmoe/internal/architecture/architecture';
import type { Choice, ExpertTable, Rule, Scores } from 'locmoe/internal/architecture/rule';
import { LEAST_SQUARED_NORM } from 'locmoe/internal/routing/gates/grap';
import { type Graph, INT64, type Value } from './graph.js';

// Shapes: B sequences, S positions, d hidden size, E experts, W = d / E coordinates of a GrAP gate, P groups of N = E / P
// experts over all domains, K best, D domains, V vocabulary.

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
interface RoutingInput {
  readonly graph: Graph;
  readonly architecture: Architecture;
  readonly numExperts: number;
  /** Activations after the norm, [B, S, d]. */
  readonly xBSD: Value;
  /** Token ids, int64 [B, S]. */
  readonly tokenIdsBS: Value;
  /** Returns the ids `distance` tokens before, or the first of the text, int64 [B, S]. */
  idsBefore(distance: number): Value;
  /** Domain of each sequence, int64 [B]; null if the model has only one. */
  readonly domainB: Value | null;
  /** Returns a parameter as a constant in this shape. */
  parameter(parameter: Parameter, ...shape: readonly number[]): Value;
}

/**
 * Adds the input `domain`. A negative id is replaced by one that is too high, which Gather refuses; Gather
 * would take -1 for the last domain.
 */
export function domainInput(graph: Graph, numDomains: number): Value {
  const domainB = graph.input({ name: 'domain', type: 'INT64', shape: ['batch_size'] });
  const isNegativeB = graph.node('Less', [domainB, graph.integer(0)]);
  return graph.node('Where', [isNegativeB, graph.integer(numDomains), domainB]);
}

/** Builds the routing of one layer by the rule of its router. */
export function routing({ choose, keep, weigh, affinities }: Rule<Parameter>, input: RoutingInput): Routing {
  const { graph, numExperts, parameter } = input;
  const candidatesBSE = candidates(choose, input);
  return {
    keptBSE:
      keep === null
        ? candidatesBSE
        : graph.node('And', [
            candidatesBSE,
            graph.node('GreaterOrEqual', [scores(keep.scores, input), parameter(keep.threshold, numExperts)]),
          ]),
    weightsBSE: weigh.share
      ? shareOfCandidates(graph, scores(weigh.by, input), candidatesBSE)
      : scoresBSE(weigh.by, input),
    affinitiesBSE: scoresBSE(affinities, input),
  };
}

/** Computes the scores divided by their sum over all candidates, [B, S, E]. */
function shareOfCandidates(graph: Graph, scores: Value, candidatesBSE: Value): Value {
  const ofCandidatesBSE = graph.node('Where', [candidatesBSE, scores, graph.float(0)]);
  const sumBS1 = graph.node('ReduceSum', [ofCandidatesBSE, graph.integers(-1)], { keepdims: 1 });
  return graph.node('Div', [ofCandidatesBSE, sumBS1]);
}

/** Whether each expert is a candidate, bool [B, S, E]. */
function candidates(choose: Choice<Parameter>, input: RoutingInput): Value {
  const { graph, numExperts, architecture } = input;
  if (choose.op === 'table') return areExpertsOfTables(choose.tables, input);
  const groupSize = architecture.expertsOfDomain[0]!.length;
  const allBSE = scoresBSE(choose.by, input);
  const openBSE = keepToGroup(allBSE, input);
  if (choose.op === 'topP') {
    const [bestBSK, expertsBSK] = best(graph, openBSE, choose.count, groupSize);
    const beforeBSK = graph.node('CumSum', [bestBSK, graph.integer(2)], { exclusive: 1 });
    return marked(graph, openBSE, expertsBSK, graph.node('Less', [beforeBSK, graph.float(choose.sum)]));
  }
  const numGroups = choose.op === 'topOfGroups' ? choose.groups : choose.limit?.groups;
  if (numGroups === undefined) return isBest(graph, openBSE, choose.count, groupSize);
  const size = groupSize / numGroups;
  const openBSPN = graph.node('Reshape', [openBSE, graph.integers(0, 0, numExperts / size, size)]);
  const joined = (xBSPN: Value) => graph.node('Reshape', [xBSPN, graph.integers(0, 0, numExperts)]);
  if (choose.op === 'topOfGroups') {
    const bestBSE = joined(isBest(graph, openBSPN, choose.count / numGroups, size));
    // Groups of other domains have a best expert too.
    return openBSE === allBSE
      ? bestBSE
      : graph.node('And', [bestBSE, graph.node('Greater', [openBSE, graph.float(-Infinity)])]);
  }
  const { open } = choose.limit!;
  const [bestBSPK] = best(graph, openBSPN, choose.count / open, size);
  const sumsBSP = graph.node('ReduceSum', [bestBSPK, graph.integers(-1)], { keepdims: 0 });
  const isOpenBSP1 = unsqueeze(graph, isBest(graph, sumsBSP, open, numGroups), -1);
  const limitedBSE = joined(graph.node('Where', [isOpenBSP1, openBSPN, graph.float(-Infinity)]));
  return isBest(graph, limitedBSE, choose.count, open * size);
}

/** Returns the best `count` scores along the last axis and their places; at most `most` are above -infinity. */
function best(graph: Graph, scores: Value, count: number, most: number): [Value, Value] {
  return graph.nodeWith(2, 'TopK', [scores, graph.integers(Math.min(count, most))]);
}

/** Whether each score is among the best `count`; ties go to the lower place, as in ONNX Runtime's TopK. */
function isBest(graph: Graph, scores: Value, count: number, most: number): Value {
  const [, places] = best(graph, scores, count, most);
  return marked(graph, scores, places, graph.node('GreaterOrEqual', [places, graph.integer(0)]));
}

/** Whether each place is among `places` with `isTaken` true, bool in the shape of `scores`. */
function marked(graph: Graph, scores: Value, places: Value, isTaken: Value): Value {
  const allFalse = graph.node('Less', [scores, scores]);
  return graph.node('ScatterElements', [allFalse, places, isTaken], { axis: -1 });
}

/** Whether each expert is that of a table, bool [B, S, E]. */
function areExpertsOfTables(tables: readonly ExpertTable<Parameter>[], input: RoutingInput): Value {
  const { graph, numExperts } = input;
  const expertsBS1 = tables.map((table) => unsqueeze(graph, expertsOfTable(table, input), -1));
  const [first, ...others] = expertsBS1.map((each) =>
    graph.node('Equal', [each, graph.integers(...Array(numExperts).keys())]),
  );
  if (others.length === 0) return first!;
  const isAnyBSE = others.reduce((any, each) => graph.node('Or', [any, each]), first!);
  return graph.node('And', [isAnyBSE, graph.node('GreaterOrEqual', [expertsBS1[0]!, graph.integer(0)])]);
}

/** Looks up the experts of a table, int64 [B, S]. */
function expertsOfTable({ experts, before }: ExpertTable<Parameter>, input: RoutingInput): Value {
  const { graph, architecture, idsBefore, domainB, parameter } = input;
  const { vocabSize, expertsOfDomain } = architecture;
  const idsBS = idsBefore(before);
  const firstB = domainB && graph.node('Mul', [domainB, graph.integer(vocabSize)]);
  const placeBS = firstB ? graph.node('Add', [idsBS, unsqueeze(graph, firstB, 1)]) : idsBS;
  const table = parameter(experts, expertsOfDomain.length * vocabSize);
  return graph.node('Cast', [graph.node('Gather', [table, placeBS])], { to: INT64 });
}

/** Replaces the scores of experts outside the group of the sequence's domain by -infinity (level 1). */
function keepToGroup(scores: Value, { graph, architecture, numExperts, domainB }: RoutingInput): Value {
  const { expertsOfDomain } = architecture;
  if (expertsOfDomain.every(({ length }) => length === numExperts)) return scores;
  const maskDE = graph.initializer('groups of domains', [expertsOfDomain.length, numExperts], () =>
    Float32Array.from(
      expertsOfDomain.flatMap((group) =>
        Array.from({ length: numExperts }, (_, expert) => (group.includes(expert) ? 0 : -Infinity)),
      ),
    ),
  );
  const mask = domainB ? unsqueeze(graph, graph.node('Gather', [maskDE, domainB]), 1) : maskDE;
  return graph.node('Add', [scores, mask]);
}

/** Computes scores in full, [B, S, E]. */
function scoresBSE(of: Scores<Parameter>, input: RoutingInput): Value {
  const { graph, numExperts, tokenIdsBS } = input;
  if (dependsOnToken(of)) return scores(of, input);
  const sizes = [graph.node('Shape', [tokenIdsBS]), graph.integers(numExperts)];
  return graph.node('Expand', [scores(of, input), graph.node('Concat', sizes, { axis: 0 })]);
}

function dependsOnToken(of: Scores<Parameter>): boolean {
  if ('left' in of) return dependsOnToken(of.left) || dependsOnToken(of.right);
  return 'of' in of ? dependsOnToken(of.of) : of.op !== 'number' && of.op !== 'parameter';
}

const OPERATORS = {
  add: 'Add',
  subtract: 'Sub',
  multiply: 'Mul',
  divide: 'Div',
  relu: 'Relu',
  sigmoid: 'Sigmoid',
  tanh: 'Tanh',
  exp: 'Exp',
} as const;

/** Computes scores in a shape that broadcasts to [B, S, E]. */
function scores(of: Scores<Parameter>, input: RoutingInput): Value {
  const { graph, numExperts, architecture, xBSD, tokenIdsBS, parameter } = input;
  switch (of.op) {
    case 'linear':
      return graph.node('MatMul', [xBSD, parameter(of.weight, architecture.dModel, numExperts)]);
    case 'cosine': {
      const weightDE = parameter(of.weight, architecture.dModel, numExperts);
      const cosinesBSE = graph.node('Div', [graph.node('MatMul', [xBSD, weightDE]), norm(graph, xBSD, -1)]);
      return graph.node('Div', [cosinesBSE, norm(graph, weightDE, 0)]);
    }
    case 'grouped':
      return groupProjection(of.factors, input);
    case 'groupedCosine': {
      const cosinesBSE = graph.node('Div', [groupProjection(of.factors, input), norm(graph, xBSD, -1)]);
      if (of.factors === null) return cosinesBSE;
      const factorsEW = parameter(of.factors, numExperts, architecture.dModel / numExperts);
      const squaresEW = graph.node('Mul', [factorsEW, factorsEW]);
      const meansE = graph.node('ReduceMean', [squaresEW, graph.integers(-1)], { keepdims: 0 });
      return graph.node('Div', [cosinesBSE, root(graph, meansE)]);
    }
    case 'ofId':
      return graph.node('Gather', [parameter(of.table, architecture.vocabSize, numExperts), tokenIdsBS]);
    case 'parameter':
      return parameter(
        of.parameter,
        of.parameter.shape.reduce((a, b) => a * b),
      );
    case 'number':
      return graph.float(of.value);
    case 'softmax':
      return graph.node('Softmax', [keepToGroup(scoresBSE(of.of, input), input)], { axis: -1 });
    default: {
      const parts = 'left' in of ? [of.left, of.right] : [of.of];
      return graph.node(
        OPERATORS[of.op],
        parts.map((part) => scores(part, input)),
      );
    }
  }
}

/** Computes x . w_i / |w_i| with the GrAP gates, [B, S, E] (src/routing/gates/grap.ts). */
function groupProjection(factors: Parameter | null, input: RoutingInput): Value {
  const { graph, numExperts, architecture, xBSD, parameter } = input;
  const width = architecture.dModel / numExperts;
  const xBSEW = graph.node('Reshape', [xBSD, graph.integers(0, 0, numExperts, width)]);
  const weightedBSEW =
    factors === null ? xBSEW : graph.node('Mul', [xBSEW, parameter(factors, numExperts, width)]);
  const meansBSE = graph.node('ReduceMean', [weightedBSEW, graph.integers(-1)], { keepdims: 0 });
  return graph.node('Mul', [meansBSE, graph.float(Math.sqrt(width))]);
}

/** Computes the norm along an axis, which is kept with size 1. */
function norm(graph: Graph, x: Value, axis: number): Value {
  return root(graph, graph.node('ReduceSumSquare', [x, graph.integers(axis)], { keepdims: 1 }));
}

/** Computes the root of squares; never 0. */
function root(graph: Graph, squares: Value): Value {
  return graph.node('Sqrt', [graph.node('Add', [squares, graph.float(LEAST_SQUARED_NORM)])]);
}

function unsqueeze(graph: Graph, value: Value, axis: number): Value {
  return graph.node('Unsqueeze', [value, graph.integers(axis)]);
}
