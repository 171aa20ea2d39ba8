import type { Experts } from 'locmoe/internal/architecture/architecture';
import { type Graph, INT64, type Value } from './graph.js';
import type { Routing } from './routing.js';

// Shapes: B sequences, S positions, T = B S tokens, E experts, N kept choices of all tokens, R of them for
// one expert.

/** Tokens that an expert takes and their weights, both [R, 1]. */
interface DispatchedRows {
  readonly tokenR1: Value;
  readonly weightR1: Value;
}

/** Adds the nodes that select the tokens of each expert of the model, in the order of expert ids. */
export function dispatchedRows(
  graph: Graph,
  { numExperts, held: { first, count } }: Experts,
  { keptBSE, weightsBSE }: Routing,
): DispatchedRows[] {
  const byExpert = (xBSE: Value) => {
    const xTE = graph.node('Reshape', [xBSE, graph.integers(-1, numExperts)]);
    const xET = graph.node('Transpose', [xTE], { perm: [1, 0] });
    if (count === numExperts) return xET;
    const range = [first, first + count, 0].map((each) => graph.integers(each));
    return graph.node('Slice', [xET, ...range]);
  };
  const keptET = byExpert(keptBSE);
  // Pairs of expert and token, in the order of the experts.
  const pairsN2 = graph.node('Transpose', [graph.node('NonZero', [keptET])], { perm: [1, 0] });
  const [, tokenN1] = graph.nodeWith(2, 'Split', [pairsN2], { axis: 1, num_outputs: 2 });
  const weightN = graph.node('GatherND', [byExpert(weightsBSE), pairsN2]);
  const weightN1 = graph.node('Unsqueeze', [weightN, graph.integers(1)]);
  const keptIntegersET = graph.node('Cast', [keptET], { to: INT64 });
  const numRowsE = graph.node('ReduceSum', [keptIntegersET, graph.integers(1)], { keepdims: 0 });
  const byExpertOf = (x: Value) => graph.nodeWith(count, 'Split', [x, numRowsE], { axis: 0 });
  const [tokens, weights] = [byExpertOf(tokenN1), byExpertOf(weightN1)];
  return tokens.map((tokenR1, expert) => ({ tokenR1, weightR1: weights[expert]! }));
}
