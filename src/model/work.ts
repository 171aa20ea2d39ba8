import type { Attention, Experts, FeedForward } from '../architecture/architecture.js';
import type { RunConfig } from '../config/schema.js';
import { elementTypeOf, usesOneDnn } from '../ops/kernels/choose-kernels.js';
import { numScores } from '../ops/kernels/tensorflow/attention-blocks.js';
import { describe } from './describe.js';
import { keeping, norm, type PassWork, pass, plus, product } from './pass-work.js';
import { hasWeights, PLAIN_RULE, ruleWork } from './router-work.js';

// Shapes: T tokens, B sequences of S positions, d hidden size, F feed-forward size, H heads, C width of queries, keys and
// values together, V vocabulary, E experts, K choices of a token, R rows of a rank's experts in a layer.

export const MODEL_PARTS = [
  'embedding',
  'dense layers',
  'sparse attention',
  'router',
  'experts',
  'shared experts',
  'query layer',
  'softmax',
] as const;
type ModelPart = (typeof MODEL_PARTS)[number];
export type ModelWork = Readonly<Record<ModelPart, PassWork>>;

/** Work of one rank in a pass. */
export interface RankLoad {
  readonly sequences: number;
  /** Rows of its experts in one sparse layer. */
  readonly rows: number;
  /** Experts per sparse layer whose weights it holds. */
  readonly experts: number;
}

/**
 * Returns the work of one rank in one pass over its sequences, by part of the model. Matrix products are counted exactly; the
 * backward of a product is two of its size. `touched` and `operations` follow src/model/ op by op, and for a router its rule: a
 * compiled part (ops/compiled.ts) is one operation that touches its inputs and outputs, and reading a parameter or saving a
 * tensor for the backward pass counts as one. `kept` follows the kernels in use, which keep the operands of products in their
 * own precision; TensorFlow's kernels also keep the logits and their exponentials. What gates and losses compute of few elements are
 * loops (ops/elementwise.ts), each one operation.
 */
export function modelWork(config: RunConfig, { sequences, rows, experts }: RankLoad): ModelWork {
  const { blocks, positions, seqLen: S, dModel: d, vocabSize: V } = describe(config);
  const isNarrow = usesOneDnn() && elementTypeOf(config.train.precision, config.train.device) === 'bfloat16';
  const operand = isNarrow ? 0.5 : 1;
  const T = sequences * S;
  const sparse = new Set(
    blocks.filter(({ operation }) => operation.op === 'experts').map(({ layer }) => layer),
  );
  const parts: Record<ModelPart, PassWork[]> = {
    embedding: [
      positions === null
        ? pass([0, 2 * T * d, 2], [0, T * d + V * d, 2])
        : pass([0, 4 * T * d, 8], [0, 2 * T * d + V * d, 5]),
    ],
    'dense layers': [],
    'sparse attention': [],
    router: [],
    experts: [],
    'shared experts': [],
    'query layer': [],
    softmax: [
      norm(T * d),
      pass(
        [2 * T * V * d, 2 * T * V + 4 * T * d, 12],
        [4 * T * V * d, 14 * T * d + 6 * V * d, 20],
        operand * T * d + (usesOneDnn() ? operand : 2) * T * V,
      ),
    ],
  };
  // The operation adds its output to its input; the backward pass adds the gradients of both branches.
  const residual = pass([0, 3 * T * d, 1], [0, 3 * T * d, 2]);
  for (const { layer, operation } of blocks) {
    const part = layer === 'query' ? 'query layer' : sparse.has(layer) ? 'sparse attention' : 'dense layers';
    parts[part].push(norm(T * d));
    if (operation.op === 'attention') parts[part].push(attentionWork(operation, T, S, operand), residual);
    else if (operation.op === 'feedForward')
      parts[part].push(networkWork(operation, T, operand), keeping(operand * T * d), residual);
    else {
      const { rule, numExperts, network, shared } = operation;
      // The gate keeps its input in float32; the shared experts have the same, unless they narrow it.
      parts.router.push(ruleWork(rule ?? PLAIN_RULE, T, d, numExperts), keeping(T * d));
      parts.experts.push(
        expertsWork(operation, T, rows, experts),
        keeping(rows * d + operand * rows * (d + keptWidth(network))),
      );
      if (shared !== null)
        parts['shared experts'].push(
          networkWork(shared.network, T, operand),
          keeping(isNarrow ? operand * T * d : 0),
          ...(shared.gate === null ? [] : [product(T, d, 1), keeping(T * d)]),
          // Gradients of the tokens are added to those of the routed experts.
          pass([0, 0, 0], [0, 3 * T * d, 1]),
          residual,
        );
    }
  }
  return Object.fromEntries(MODEL_PARTS.map((part) => [part, plus(parts[part])])) as ModelWork;
}

/** Returns the work of several passes, one after the other, so that only the activations of one are kept. */
export function timesWork(count: number, work: ModelWork): ModelWork {
  const ofPart = (part: ModelPart) => ({
    ...plus(Array<PassWork>(count).fill(work[part])),
    kept: work[part].kept,
  });
  return Object.fromEntries(MODEL_PARTS.map((part) => [part, ofPart(part)])) as ModelWork;
}

export function totalWork(work: ModelWork): PassWork {
  return plus(MODEL_PARTS.map((part) => work[part]));
}

/** Returns the work of projections, of scores, softmax and weighted sum of all heads, and of the output's product. */
function attentionWork(
  { numHeads: H, headDim, projections, out }: Attention,
  T: number,
  S: number,
  operand: number,
): PassWork {
  const d = out.shape[1]!;
  const attended = H * headDim;
  const C = projections.reduce((sum, { weight }) => sum + weight.shape[1]!, 0);
  const ofInput = projections.filter(({ of }) => of === 'input').length;
  const scores = 2 * (T / S) * numScores(S) * attended;
  return plus([
    ...projections.flatMap(({ of, weight, bias, headNorm }) => {
      const width = weight.shape[1]!;
      return [
        product(of === 'input' ? T : S, d, width),
        // The same for every sequence.
        ...(of === 'input' ? [] : [pass([0, 2 * T * width, 1], [0, 2 * T * width, 1])]),
        ...(bias === null ? [] : [pass([0, 2 * T * width, 2], [0, T * width, 1])]),
        ...(headNorm === null ? [] : [norm(T * width)]),
      ];
    }),
    // Outputs of several matrices are concatenated, gradients of x summed.
    ...(projections.length === 1
      ? []
      : [pass([0, 2 * T * C, 0], [0, T * (2 * C + 3 * (ofInput - 1) * d), ofInput - 1])]),
    // The backward pass recomputes the scores.
    pass([2 * scores, T * (C + attended + H), 5], [5 * scores, T * (2 * C + 2 * attended + H), 1]),
    product(T, attended, d),
    // Weighted sums are also kept in float32, and each projection narrows its own copy of the norm's result.
    keeping(
      operand * T * (d + C + attended) + (operand < 1 ? T * (attended + operand * (ofInput - 1) * d) : 0),
    ),
  ]);
}

/** Returns the columns of a network's hidden states. */
function keptWidth({ into, out }: FeedForward): number {
  return into.length * out.shape[0]!;
}

/** Returns the work of a network on all tokens with a compiled activation, which the backward pass recomputes. */
function networkWork(network: FeedForward, T: number, operand: number): PassWork {
  const [F, d] = network.out.shape as [number, number];
  const matrices = network.into.length + 1;
  const others = matrices - 2;
  return pass(
    [2 * matrices * T * d * F, matrices * T * F, 10 + 2 * others],
    [4 * matrices * T * d * F, 2 * matrices * T * F + 3 * others * T * d, 5 + 3 * others],
    operand * T * keptWidth(network),
  );
}

/** Returns the work of the networks of `experts` experts on `rows` rows, not compiled, and of moving the rows. */
function expertsWork({ rule, network }: Experts, T: number, rows: number, experts: number): PassWork {
  const [F, d] = network.out.shape as [number, number];
  const flops = 2 * (network.into.length + 1) * rows * d * F;
  const weighted = hasWeights(rule ?? PLAIN_RULE) ? 1 : 0;
  // Numbers that operations touch for each hidden unit, and numbers of operations.
  const [[forward, calls], [backward, gradientCalls]] =
    network.activation === 'gelu'
      ? ([
          [14, 16],
          [32, 18],
        ] as const)
      : ([
          [8, 12],
          [23 + (3 * d) / F, 22],
        ] as const);
  return plus([
    pass(
      [flops, forward * rows * F, calls * experts],
      [2 * flops, backward * rows * F + 2 * experts * d * F, gradientCalls * experts],
    ),
    // Gather, split by expert, concatenate, scatter-add, and the copies into and out of the exchanges.
    pass(
      [0, (11 + 2 * weighted) * rows * d + 4 * T * d, 18],
      [0, (12 + 6 * weighted) * rows * d + 4 * T * d, 16],
    ),
  ]);
}
