import { setImmediate } from 'node:timers/promises';
import { TrainerError } from 'locmoe/internal/errors';
import { formatTable } from 'locmoe/internal/format';
import { fusedOp } from 'locmoe/internal/ops/autograd';
import { deviceKernels, findThreads, oneDnnPath } from 'locmoe/internal/ops/kernels/choose-kernels';
import type { FusedForward, Kernels } from 'locmoe/internal/ops/kernels/kernels';
import { loadOneDnn } from 'locmoe/internal/ops/kernels/onednn/library';
import { oneDnnKernels } from 'locmoe/internal/ops/kernels/onednn/onednn-kernels';
import type { ElementType } from 'locmoe/internal/ops/kernels/onednn/tensor-memory';
import { tensorflowKernels } from 'locmoe/internal/ops/kernels/tensorflow/tensorflow-kernels';
import { tf } from 'locmoe/internal/ops/tensorflow';
import { locmoeCommand } from 'locmoe/internal/os/command-line';
import { CounterRandom } from 'locmoe/internal/parameters/counter-random';
import { machine } from '../folders.js';
import { median, timeOf } from '../statistics.js';

/** Sizes as in the recipe `small`: tokens of a rank and of a sequence, heads, rows of an expert, and words. */
const TOKENS = 1024;
const SEQUENCE = 128;
const HEADS = 8;
const EXPERT_ROWS = [150, 171] as const;
const VOCABULARY = 4096;

type Shape = readonly number[];

interface Operation {
  readonly name: string;
  readonly shapes: readonly Shape[];
  /** Multiplications and additions of its products, forward and backward; 0 if there are none. */
  readonly flops: number;
  readonly run: (kernels: Kernels, inputs: readonly tf.Tensor[]) => tf.Tensor;
}

/** @param d hidden size; a feed-forward network is four times as wide */
function operationsOf(d: number): Operation[] {
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
  const [x, ...weights] = inputs as [tf.Tensor2D, tf.Tensor2D, tf.Tensor2D];
  return fusedOp(inputs, () => {
    const net = kernels.network(rows);
    const { y, saved } = net.forward(x, weights);
    return {
      value: y,
      saved: [...weights, ...saved],
      backward: (dy, [wIn, wOut, ...kept]) => {
        const dyTD = dy as tf.Tensor2D;
        const of = [wIn as tf.Tensor2D, wOut as tf.Tensor2D];
        const { dx, kept: forGradients } = net.backward(dyTD, of, kept);
        return [dx, ...net.gradients([{ dyTD, saved: kept, kept: forGradients }], of)];
      },
    };
  });
}

function indices(length: number, below: number): Int32Array {
  return Int32Array.from({ length }, (_, i) => (i * 7919) % below);
}

/** Draws normally distributed values of a scale that keeps softmax and products in their usual range. */
function inputsOf({ name, shapes }: Operation): tf.Tensor[] {
  return shapes.map((shape, i) => normal(`${name} ${i}`, shape, i === 0 ? 1 : 1 / Math.sqrt(shape[0]!)));
}

function normal(name: string, shape: Shape, std: number): tf.Tensor {
  const values = new Float32Array(shape.reduce((product, length) => product * length, 1));
  new CounterRandom(1, name).fillNormal(values, std);
  return tf.tensor(values, [...shape]);
}

export interface BenchKernelsOptions {
  readonly width: number;
  readonly rounds: number;
  /** Whether the kernels of WebGPU are among them. */
  readonly webgpu?: boolean;
}

/**
 * Maximum difference between a result and TensorFlow's, divided by the root mean square of the latter, by
 * precision.
 */
const TOLERANCE = { float32: 1e-3, bfloat16: 0.2 } as const;
const WARM_UP = 3;

interface Contender {
  readonly name: string;
  readonly kernels: Kernels;
  readonly tolerance: number;
}

/**
 * `locmoe bench kernels`: times the operations of a training step, forward and backward, alternating between
 * the kernels. Results are compared with TensorFlow's before anything is timed.
 *
 * @throws TrainerError `INTERNAL` if the kernels do not agree; `NO_RESOURCE` without oneDNN, or without the device asked for;
 *   `BAD_INPUT` for a width that is not divisible by the number of heads
 */
export async function benchKernels({ width, rounds, webgpu = false }: BenchKernelsOptions): Promise<void> {
  if (width % HEADS !== 0)
    throw new TrainerError(
      'BAD_INPUT',
      `--width ${width}: it must be a multiple of ${HEADS}, the attention heads`,
    );
  const contenders = contendersOf(webgpu);
  const times: Awaited<ReturnType<typeof timesOf>>[] = [];
  for (const operation of operationsOf(width)) times.push(await timesOf(operation, contenders, rounds));
  console.log(
    `d = ${width}, one thread, on ${machine()}; medians of ${rounds}, forward and backward, in ms (GFLOP/s)\n`,
  );
  console.log(
    formatTable([
      ['operation', ...contenders.map(({ name }) => name)],
      ...times.map(({ name, flops, ms }) => [
        name,
        ...ms.map((each) => `${each.toFixed(2)}${flops > 0 ? ` (${(flops / each / 1e6).toFixed(0)})` : ''}`),
      ]),
    ]),
  );
  console.log(JSON.stringify(times.map(({ name, ms }) => ({ name, ms }))));
}

function contendersOf(webgpu: boolean): Contender[] {
  const path = oneDnnPath();
  if (path === null)
    throw new TrainerError('NO_RESOURCE', `oneDNN is not installed: ${locmoeCommand(['setup'])} says how`);
  const library = loadOneDnn(path, findThreads());
  const types: readonly ElementType[] = library.hasBfloat16 ? ['float32', 'bfloat16'] : ['float32'];
  return [
    { name: 'TensorFlow', kernels: tensorflowKernels, tolerance: 0 },
    ...types.map((type) => ({
      name: `oneDNN, ${type}`,
      kernels: oneDnnKernels(library, type),
      tolerance: TOLERANCE[type],
    })),
    ...(webgpu ? [{ name: 'WebGPU', kernels: deviceKernels(), tolerance: TOLERANCE.float32 }] : []),
  ];
}

async function timesOf(operation: Operation, contenders: readonly Contender[], rounds: number) {
  // Each contender has its own tensors, as TensorFlow copies those that it reads into its own memory.
  const tensors = contenders.map(({ kernels }) => {
    const inputs = inputsOf(operation);
    const { shape } = tf.tidy(() => operation.run(kernels, inputs));
    return { inputs, dy: normal('dy', shape, 1) };
  });
  /** Returns the value and the gradients of the inputs, which live until the caller's tidy ends. */
  const call = (i: number): tf.Tensor[] => {
    const { inputs, dy } = tensors[i]!;
    const { kernels } = contenders[i]!;
    const differentiate = tf.valueAndGrads((...each: tf.Tensor[]) => operation.run(kernels, each));
    // The gradient is cloned because a backward pass disposes of the gradient that it gets.
    const { value, grads } = differentiate(inputs, dy.clone());
    return [value, ...grads];
  };
  const expected = tf.tidy(() => valuesOf(call(0)));
  contenders.forEach(({ name, tolerance }, i) => {
    const found = tf.tidy(() => valuesOf(call(i)));
    const worst = Math.max(...found.map((values, result) => difference(values, expected[result]!)));
    if (!(worst <= tolerance))
      throw new TrainerError(
        'INTERNAL',
        `${operation.name}: ${name} differs from TensorFlow by ${worst.toExponential(1)} of its size; nothing is timed`,
      );
  });
  const ms = contenders.map(() => [] as number[]);
  for (let round = -WARM_UP; round < rounds; round++) {
    contenders.forEach((_, i) => {
      const { kernels } = contenders[i]!;
      // The results of a device are there once they are read.
      const wait = (results: readonly tf.Tensor[]) =>
        kernels.name === 'webgpu' && results.map((each) => each.dataSync());
      const time = timeOf(() => tf.tidy(() => void wait(call(i))));
      if (round >= 0) ms[i]!.push(time);
    });
    // A signal can end the command here.
    await setImmediate();
  }
  for (const { inputs, dy } of tensors) for (const tensor of [...inputs, dy]) tensor.dispose();
  return { name: operation.name, flops: operation.flops, ms: ms.map(median) };
}

function valuesOf(tensors: readonly tf.Tensor[]): Float32Array[] {
  return tensors.map((tensor) => tensor.dataSync<'float32'>().slice());
}

function difference(actual: Float32Array, expected: Float32Array): number {
  const square = expected.reduce((sum, x) => sum + x * x, 0) / expected.length;
  return actual.reduce((most, x, i) => Math.max(most, Math.abs(x - expected[i]!)), 0) / Math.sqrt(square);
}
