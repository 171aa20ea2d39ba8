import { TrainerError } from '../../../errors.js';
import { Rotation } from '../../rotation.js';
import { tf } from '../../tensorflow.js';
import type { AdamWNumbers, AdamWState, FeedForwardWeights, Kernels } from '../kernels.js';

// A driver that compiles a shader wrong would train a model wrong, without a word. Sizes are such that no tile is full.

const TOKENS = 70;
const WIDTH = 48;
const HIDDEN = 80;
const VOCABULARY = 130;
/** Greatest difference from the reference, relative to its greatest element. */
const TOLERANCE = 1e-3;

const indices = (length: number, below: number) => Int32Array.from({ length }, (_, i) => (i * i + 3) % below);
/** Returns numbers between -1 and 1 that are the same at every call. */
function numbers(...shape: readonly number[]): tf.Tensor2D {
  const length = shape.reduce((product, size) => product * size, 1);
  const values = Float32Array.from({ length }, (_, i) => Math.sin(1.7 * i + shape.length + (i % 13)));
  const tensor: tf.Tensor = tf.tensor(values, [...shape]);
  return tensor as tf.Tensor2D;
}

/** Runs an operation forward and back. */
function both(
  { value, saved, backward }: ReturnType<Kernels['matMul']>,
  dy: tf.Tensor = numbers(...value.shape),
): (tf.Tensor | undefined)[] {
  return [value, ...backward(dy, saved)];
}

function network(kernels: Kernels, weights: FeedForwardWeights): (tf.Tensor | undefined)[] {
  const own = kernels.network('varying');
  const dyTD = numbers(TOKENS, WIDTH);
  const { y, saved } = own.forward(numbers(TOKENS, WIDTH), weights);
  const { dx, kept } = own.backward(dyTD, weights, saved);
  return [y, dx, ...own.gradients([{ dyTD, saved, kept }], weights)];
}

function attention({ causalAttention }: Kernels, headSize: number): (tf.Tensor | undefined)[] {
  const positionsT = Int32Array.from({ length: TOKENS }, (_, row) => (row < 20 ? row : row - 20));
  const shape = { numSequences: 1, seqLen: TOKENS, numHeads: 4, numKeyValueHeads: 2, positionsT };
  return both(causalAttention(numbers(TOKENS, 8 * headSize), shape));
}

/** Updates a parameter, for which the reference has no kernel, and returns it with its moments. */
function update({ updates }: Kernels): tf.Tensor[] {
  const [value, gradient, m, v] = [
    numbers(3_000),
    numbers(1, 3_000),
    numbers(3_000),
    tf.square(numbers(3_000)),
  ];
  const state = { value, gradient: tf.reshape(gradient, [-1]), m, v };
  const by = {
    gradientScale: 0.5,
    gain1: 0.1,
    gain2: 0.02,
    decay: 0.1,
    stepSize: 0.3,
    vScale: 2,
    epsilon: 0.01,
  };
  if (updates === null) return [tf.concat(updatedByTensorFlow(state, by))];
  updates.adamW(state, by);
  return [tf.concat([value, m, v])];
}

function updatedByTensorFlow({ value, gradient, m, v }: AdamWState, by: AdamWNumbers): tf.Tensor[] {
  const scaled = tf.mul(gradient!, by.gradientScale);
  const newM = tf.add(m, tf.mul(by.gain1, tf.sub(scaled, m)));
  const newV = tf.add(v, tf.mul(by.gain2, tf.sub(tf.square(scaled), v)));
  const root = tf.add(tf.mul(tf.sqrt(newV), by.vScale), by.epsilon);
  const change = tf.add(tf.mul(value, by.decay), tf.div(tf.mul(newM, by.stepSize), root));
  return [tf.sub(value, change), newM, newV];
}

const OPERATIONS: Readonly<Record<string, (kernels: Kernels) => (tf.Tensor | undefined)[]>> = {
  product: ({ matMul }) => both(matMul(numbers(TOKENS, WIDTH), numbers(WIDTH, HIDDEN), true)),
  GELU: (kernels) => network(kernels, [numbers(WIDTH, HIDDEN), numbers(HIDDEN, WIDTH)]),
  SwiGLU: (kernels) =>
    network(kernels, [numbers(WIDTH, HIDDEN), numbers(WIDTH, HIDDEN), numbers(HIDDEN, WIDTH)]),
  'layer norm': ({ layerNorm }) => both(layerNorm(numbers(TOKENS, WIDTH), numbers(WIDTH), numbers(WIDTH))),
  'rms norm': ({ rmsNorm }) => both(rmsNorm(numbers(TOKENS, WIDTH), numbers(WIDTH / 2), 0.1)),
  'norms of rows': ({ rowNorms }) => [tf.tensor1d([...rowNorms(numbers(TOKENS, WIDTH))])],
  'unit rows': ({ unitRows }) => both(unitRows(numbers(TOKENS, WIDTH), 0.1)),
  'products of groups': ({ groupProducts }) => {
    const factors: tf.Tensor = numbers(WIDTH);
    return both(groupProducts(numbers(TOKENS, WIDTH), 6, factors as tf.Tensor1D));
  },
  'means of groups': ({ groupProducts }) => both(groupProducts(numbers(TOKENS, WIDTH), 6, null)),
  bias: ({ addBias }) => both(addBias(numbers(TOKENS, WIDTH), numbers(WIDTH))),
  rotation: ({ rotate }) => {
    const shape = { numSequences: 2, seqLen: TOKENS / 2, numHeads: 3 };
    const parts = [3, 2, 2].map((heads) => numbers(TOKENS, 16 * heads)) as [
      tf.Tensor2D,
      tf.Tensor2D,
      tf.Tensor2D,
    ];
    return both(rotate(parts, new Rotation([1, 0.5, 0.1, 0.05, 0.01, 0.003, 0.002, 0.001]), shape));
  },
  AdamW: update,
  'sum of squares': ({ updates }) => {
    const tensors = [numbers(TOKENS, WIDTH), numbers(1 << 15)];
    return [
      updates === null
        ? tf.addN(tensors.map((each) => tf.sum(tf.square(each))))
        : tf.scalar(updates.squaredNorm(tensors)),
    ];
  },
  'cross-entropy': ({ tiedCrossEntropy }) =>
    both(tiedCrossEntropy(numbers(TOKENS, WIDTH), numbers(VOCABULARY, WIDTH), indices(TOKENS, VOCABULARY))),
  embedding: ({ embedding }) =>
    both(
      embedding(numbers(VOCABULARY, WIDTH), numbers(TOKENS, WIDTH), indices(2 * TOKENS, VOCABULARY), TOKENS),
    ),
  gather: ({ gatherRows }) => both(gatherRows(numbers(TOKENS, WIDTH), indices(2 * TOKENS, TOKENS))),
  scatter: ({ scatterRows }) => {
    const choicesN = Int32Array.from({ length: TOKENS }, (_, i) => i);
    const scatter = { numTokens: TOKENS / 2, tokensN: indices(TOKENS, TOKENS / 2), choicesN };
    return both(scatterRows(numbers(TOKENS, WIDTH), numbers(TOKENS / 2, 2), scatter));
  },
};

/**
 * Runs each operation on a small example, forward and back.
 *
 * @param headSizes sizes of a head for which attention is run, each of which takes shaders of its own
 * @throws TrainerError `NO_RESOURCE` if a result differs from that of the reference
 */
export function assertComputesRight(
  own: Kernels,
  reference: Kernels,
  headSizes: readonly number[] = [6, 64],
): void {
  const attentions = headSizes.map(
    (size) => [`attention, of heads of ${size}`, (kernels: Kernels) => attention(kernels, size)] as const,
  );
  for (const [name, run] of [...Object.entries(OPERATIONS), ...attentions])
    tf.tidy(() => {
      const expected = run(reference);
      run(own).forEach((result, i) => {
        const [found, right] = [result!, expected[i]!].map((each) => each.dataSync<'float32'>());
        const most = right!.reduce((greatest, value) => Math.max(greatest, Math.abs(value)), 0);
        if (!right!.every((value, at) => Math.abs(value - found![at]!) <= TOLERANCE * most))
          throw new TrainerError(
            'NO_RESOURCE',
            `train.device webgpu: ${own.description} computes ${i === 0 ? '' : 'the gradient of '}${name} wrong; ` +
              'update its driver, or use train.device cpu',
          );
      });
    });
}
