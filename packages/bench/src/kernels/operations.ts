import { fusedOp } from 'locmoe/internal/ops/fused-op';
import type { FusedForward, Kernels } from 'locmoe/internal/ops/kernels/kernels';
import { tf } from 'locmoe/internal/ops/tensorflow';
import { CounterRandom } from 'locmoe/internal/parameters/counter-random';

/** Tokens of a rank and of a sequence, heads, rows of an expert, and words, as in the recipe `small`. */
const TOKENS = 1024;
const SEQUENCE = 128;
export const HEADS = 8;
const EXPERT_ROWS = [150, 171] as const;
const VOCABULARY = 4096;

type Shape = readonly number[];

export interface Operation {
  readonly name: string;
  readonly shapes: readonly Shape[];
  /** Multiplications and additions of its products, forward and backward; 0 if there are none. */
  readonly flops: number;
  readonly run: (kernels: Kernels, inputs: readonly tf.Tensor[]) => tf.Tensor;
}

/** @param d hidden size; a feed-forward network is four times as wide */
export function operationsOf(d: number): Operation[] {
  const F = 4 * d;
  const [x, wIn, wOut] = [
    [TOKENS, d],
    [d, F],
    [F, d],
  ] as const;
  const fused =
    <Inputs extends readonly tf.Tensor2D[]>(
      forward: (kernels: Kernels, ...inputs: Inputs) => FusedForward,
    ): Operation['run'] =>
    (kernels, inputs) =>
      fusedOp(inputs, () => forward(kernels, ...(inputs as unknown as Inputs)));
  const ofSequences = { numSequences: TOKENS / SEQUENCE, seqLen: SEQUENCE, numHeads: HEADS };
  const expertRows = EXPERT_ROWS.reduce((sum, rows) => sum + rows, 0);
  return [
    {
      name: `product [${TOKENS}, ${d}] x [${d}, ${F}]`,
      shapes: [x, wIn],
      flops: 6 * TOKENS * d * F,
      run: fused((kernels, x, w) => kernels.matMul(x, w, false)),
    },
    {
      name: `feed-forward network of ${TOKENS} rows`,
      shapes: [x, wIn, wOut],
      flops: 12 * TOKENS * d * F,
      run: (kernels, inputs) => network(kernels, inputs, 'fixed'),
    },
    ...EXPERT_ROWS.map((rows) => ({
      name: `an expert with ${rows} rows`,
      shapes: [[rows, d], wIn, wOut],
      flops: 12 * rows * d * F,
      run: (kernels: Kernels, inputs: readonly tf.Tensor[]) => network(kernels, inputs, 'varying'),
    })),
    {
      name: `attention of ${TOKENS / SEQUENCE} x ${SEQUENCE} tokens`,
      shapes: [[TOKENS, 3 * d]],
      flops: 0,
      run: fused((kernels, qkv) => kernels.causalAttention(qkv, ofSequences)),
    },
    {
      name: 'layer norm',
      shapes: [x, [d], [d]],
      flops: 0,
      run: fused((kernels, x, gain, bias) => kernels.layerNorm(x, gain, bias)),
    },
    {
      name: `softmax over ${VOCABULARY} and its loss`,
      shapes: [x, [VOCABULARY, d]],
      flops: 6 * TOKENS * d * VOCABULARY,
      run: fused((kernels, x, embedding) =>
        kernels.tiedCrossEntropy(x, embedding, indices(TOKENS, VOCABULARY)),
      ),
    },
    {
      name: `weighted sum of ${expertRows} rows by token`,
      shapes: [
        [expertRows, d],
        [TOKENS, 1],
      ],
      flops: 0,
      run: fused((kernels, rows, weights) =>
        kernels.scatterRows(rows, weights, {
          numTokens: TOKENS,
          tokensN: indices(expertRows, TOKENS),
          choicesN: indices(expertRows, TOKENS),
        }),
      ),
    },
  ];
}

function network(
  kernels: Kernels,
  inputs: readonly tf.Tensor[],
  rows: Parameters<Kernels['network']>[0],
): tf.Tensor {
  const [x, wInDF, wOutFD] = inputs as [tf.Tensor2D, tf.Tensor2D, tf.Tensor2D];
  return fusedOp(inputs, () => {
    const net = kernels.network(rows);
    const { y, saved } = net.forward(x, { wInDF, wOutFD });
    return {
      value: y,
      saved: [wInDF, wOutFD, ...saved],
      backward: (dy, [wIn, wOut, ...kept]) => {
        const dyTD = dy as tf.Tensor2D;
        const of = { wInDF: wIn as tf.Tensor2D, wOutFD: wOut as tf.Tensor2D };
        const { dx, kept: forGradients } = net.backward(dyTD, of, kept);
        return [dx, ...net.gradients([{ dyTD, saved: kept, kept: forGradients }], of)];
      },
    };
  });
}

function indices(length: number, below: number): Int32Array {
  return Int32Array.from({ length }, (_, i) => (i * 7919) % below);
}

/** Normal values of a size that leaves softmax and products in their usual range. */
export function inputsOf({ name, shapes }: Operation): tf.Tensor[] {
  return shapes.map((shape, i) => normal(`${name} ${i}`, shape, i === 0 ? 1 : 1 / Math.sqrt(shape[0]!)));
}

export function normal(name: string, shape: Shape, std: number): tf.Tensor {
  const values = new Float32Array(shape.reduce((product, length) => product * length, 1));
  new CounterRandom(1, name).fillNormal(values, std);
  return tf.tensor(values, [...shape]);
}
