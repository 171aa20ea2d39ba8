import * as tf from '@tensorflow/tfjs-node';
import { expect, it } from 'vitest';
import { fusedOp } from '../../../../src/ops/autograd.js';
import { narrow, widen } from '../../../../src/ops/bfloat16.js';
import { findThreads, oneDnnPath } from '../../../../src/ops/kernels/choose-kernels.js';
import type { Kernels } from '../../../../src/ops/kernels/kernels.js';
import { loadOneDnn } from '../../../../src/ops/kernels/onednn/library.js';
import { oneDnnKernels } from '../../../../src/ops/kernels/onednn/onednn-kernels.js';
import type { ElementType } from '../../../../src/ops/kernels/onednn/tensor-memory.js';
import { tensorflowKernels } from '../../../../src/ops/kernels/tensorflow/tensorflow-kernels.js';
import { positionsOf, randomValues } from '../../../model/support.js';
import { inEachType, withOneDnn } from '../../../with-onednn.js';

const SIZES = { numSequences: 2, seqLen: 130, numHeads: 4, d: 32, F: 96, V: 300 };
const { numSequences, seqLen, d, F, V } = SIZES;
const T = numSequences * seqLen;
const SEGMENTS = positionsOf([10, 90, 30], [60, 70]);

type Op = (kernels: Kernels, ...inputs: tf.Tensor[]) => tf.Tensor;
type Shape = readonly number[];

const fused =
  (forward: (kernels: Kernels, ...inputs: tf.Tensor[]) => ReturnType<Kernels['matMul']>): Op =>
  (kernels, ...inputs) =>
    fusedOp(inputs, () => forward(kernels, ...inputs));
const two = (tensor: tf.Tensor) => tensor as tf.Tensor2D;
const numbers = (length: number, below: number) => Int32Array.from({ length }, (_, i) => (i * 7919) % below);

/** Each operation with the shapes of its inputs. */
const OPERATIONS: Readonly<Record<string, { op: Op; shapes: readonly Shape[] }>> = {
  matMul: {
    op: fused((k, x, w) => k.matMul(two(x), two(w), false)),
    shapes: [
      [T, d],
      [d, F],
    ],
  },
  'matMul of a gate': {
    op: fused((k, x, w) => k.matMul(two(x), two(w), true)),
    shapes: [
      [T, d],
      [d, 8],
    ],
  },
  layerNorm: { op: fused((k, x, gain, bias) => k.layerNorm(x, gain, bias)), shapes: [[T, d], [d], [d]] },
  causalAttention: { op: fused((k, x) => k.causalAttention(two(x), SIZES)), shapes: [[T, 3 * d]] },
  'causalAttention of segments, with shared keys and values': {
    op: fused((k, x) => k.causalAttention(two(x), { ...SIZES, numKeyValueHeads: 2, positionsT: SEGMENTS })),
    shapes: [[T, 2 * d]],
  },
  tiedCrossEntropy: {
    op: fused((k, x, e) => k.tiedCrossEntropy(two(x), two(e), numbers(T, V))),
    shapes: [
      [T, d],
      [V, d],
    ],
  },
  embedding: {
    op: fused((k, tokens, positions) => k.embedding(two(tokens), two(positions), numbers(T, V), seqLen)),
    shapes: [
      [V, d],
      [seqLen + 3, d],
    ],
  },
  gatherRows: { op: fused((k, x) => k.gatherRows(two(x), numbers(70, T))), shapes: [[T, d]] },
  scatterRows: {
    op: fused((k, rows, weights) =>
      k.scatterRows(two(rows), two(weights), {
        numTokens: 40,
        tokensN: numbers(70, 40),
        choicesN: numbers(70, 80),
      }),
    ),
    shapes: [
      [70, d],
      [40, 2],
    ],
  },
  'scatterRows without weights': {
    op: fused((k, rows) =>
      k.scatterRows(two(rows), null, { numTokens: 40, tokensN: numbers(70, 40), choicesN: numbers(70, 80) }),
    ),
    shapes: [[70, d]],
  },
};

/** Value and gradients of the inputs, for an incoming gradient that is the same each time. */
function resultsOf(kernels: Kernels, { op, shapes }: { op: Op; shapes: readonly Shape[] }): Float32Array[] {
  return tf.tidy(() => {
    const inputs = shapes.map((shape, i) => tf.tensor(randomValues(`input ${i}`, size(shape)), [...shape]));
    const value = op(kernels, ...inputs);
    const dy = tf.tensor(randomValues('dy', value.size), value.shape);
    const { grads } = tf.valueAndGrads((...x: tf.Tensor[]) => op(kernels, ...x))(inputs, dy);
    return [value, ...grads].map((each) => each.dataSync<'float32'>().slice());
  });
}

/** Greatest difference over the root mean square of what is expected. */
function difference(actual: Float32Array, expected: Float32Array): number {
  const square = expected.reduce((sum, x) => sum + x * x, 0) / expected.length;
  return actual.reduce((most, x, i) => Math.max(most, Math.abs(x - expected[i])), 0) / Math.sqrt(square);
}

/** In bfloat16 operands alone are rounded, to eight bits of significand. */
const TOLERANCE: Readonly<Record<ElementType, number>> = { float32: 1e-4, bfloat16: 0.15 };

const size = (shape: Shape) => shape.reduce((product, length) => product * length, 1);

/** A network as one operation, SwiGLU if there are three matrices. */
const network: Op = (kernels, x, ...matrices) =>
  fusedOp([x, ...matrices], () => {
    const weights = matrices.map(two);
    const net = kernels.network('fixed');
    const { y, saved } = net.forward(two(x), weights);
    return {
      value: y,
      saved,
      backward: (dy, kept) => {
        const { dx, kept: forGradients } = net.backward(two(dy), weights, kept);
        return [dx, ...net.gradients([{ dyTD: two(dy), saved: kept, kept: forGradients }], weights)];
      },
    };
  });

Object.assign(OPERATIONS, {
  network: {
    op: network,
    shapes: [
      [T, d],
      [d, F],
      [F, d],
    ],
  },
  'network with SwiGLU': {
    op: network,
    shapes: [
      [T, d],
      [d, F],
      [d, F],
      [F, d],
    ],
  },
});

withOneDnn('oneDNN', () => {
  const library = loadOneDnn(oneDnnPath()!, findThreads());
  const of = (type: ElementType) => oneDnnKernels(library, type);

  /**
   * TensorFlow's results, or in bfloat16 those of oneDNN in float32, which need no compilation. TensorFlow compiles
   * attention for seconds; test/ops/causal-attention.test.ts compares the attention of both kernels with a loop.
   */
  function expectedOf(name: string, type: ElementType): Float32Array[] {
    const isOwn = type === 'bfloat16' || name.startsWith('causalAttention');
    return resultsOf(isOwn ? of('float32') : tensorflowKernels, OPERATIONS[name]);
  }

  inEachType('an operation', (type) => {
    it.each(Object.keys(OPERATIONS))(
      '%s agrees with TensorFlow, gives the same bits again and leaves no tensor behind',
      (name) => {
        const kernels = of(type);
        const results = resultsOf(kernels, OPERATIONS[name]);
        const { numTensors } = tf.memory();
        expect(resultsOf(kernels, OPERATIONS[name])).toEqual(results);
        expect(tf.memory().numTensors).toBe(numTensors);
        const expected = expectedOf(name, type);
        results.forEach((values, i) => {
          expect(difference(values, expected[i]), `result ${i}`).toBeLessThan(TOLERANCE[type]);
        });
      },
    );
  });

  inEachType('a feed-forward network', (type) => {
    const kernels = of(type);
    const matrix = (name: string, shape: [number, number]) =>
      tf.tensor2d(randomValues(name, size(shape)), shape);
    const ofGelu = [matrix('in', [d, F]), matrix('out', [F, d])];
    const [x, dy] = [matrix('x', [200, d]), matrix('dy', [200, d])];

    it.each([
      ['GELU', ofGelu],
      ['SwiGLU', [matrix('gate', [d, F]), ...ofGelu]],
    ])(
      'gives rows the same bits in any pieces, and the matrices the same gradients, with %s',
      (_, weights) => {
        const run = (counts: readonly number[]) =>
          tf.tidy(() => {
            const network = kernels.network('in pieces');
            let begin = 0;
            const pieces = counts.map((count) => {
              const [part, dyTD] = [x, dy].map((all) => kernels.sliceRows(all, begin, count));
              begin += count;
              const { y, saved } = network.forward(part, weights);
              const { dx, kept } = network.backward(dyTD, weights, saved);
              return { y, dx, dyTD, saved, kept };
            });
            const rows = [
              kernels.concatRows(pieces.map(({ y }) => y)),
              kernels.concatRows(pieces.map(({ dx }) => dx)),
            ];
            return [...rows, ...network.gradients(pieces, weights)].map((each) =>
              each!.dataSync<'float32'>().slice(),
            );
          });
        const whole = run([200]);
        expect(whole).toHaveLength(2 + weights.length);
        for (const counts of [
          [100, 100],
          [1, 2, 3, 194],
          [17, 33, 150],
        ])
          expect(run(counts)).toEqual(whole);
      },
    );
  });

  inEachType('attention', (type) => {
    // All see the same keys in the first block and are computed together; in the others each is computed alone.
    const segments = [[130], [100, 30], [60, 70], [64, 66]];
    const positions = positionsOf(...Array.from({ length: 7 }, (_, i) => segments[i % 4]));

    it.each([
      ['one segment each', undefined],
      ['segments', positions],
    ])('gives a sequence the same bits, however many others are beside it, with %s', (_, positionsT) => {
      const kernels = of(type);
      const shape = { seqLen, numHeads: 4, numKeyValueHeads: 2 };
      const [qkv, dy] = (['qkv', 'dy'] as const).map((name, i) => {
        const width = [2 * d, d][i];
        return tf.tensor2d(randomValues(name, 7 * seqLen * width), [7 * seqLen, width]);
      });
      const run = (begin: number, count: number) =>
        tf.tidy(() => {
          const rows = (all: tf.Tensor2D) => kernels.sliceRows(all, begin * seqLen, count * seqLen);
          const { value, saved, backward } = kernels.causalAttention(rows(qkv), {
            ...shape,
            numSequences: count,
            positionsT: positionsT?.subarray(begin * seqLen, (begin + count) * seqLen),
          });
          const [dQkv] = backward(rows(dy), saved as never);
          return [value, dQkv!].map((each) => each.dataSync<'float32'>().slice());
        });
      const together = run(0, 7);
      for (let sequence = 0; sequence < 7; sequence++)
        run(sequence, 1).forEach((alone, i) => {
          const begin = sequence * alone.length;
          expect(together[i].slice(begin, begin + alone.length)).toEqual(alone);
        });
    });
  });

  it('sums the gradient of a matrix over more rows than it takes at a time', () => {
    const rows = 1_100;
    const operation = {
      op: OPERATIONS.matMul.op,
      shapes: [
        [rows, d],
        [d, F],
      ] as Shape[],
    };
    const [, , expected] = resultsOf(tensorflowKernels, operation);
    expect(difference(resultsOf(of('float32'), operation)[2], expected)).toBeLessThan(TOLERANCE.float32);
  });

  it('gives a row on the host the bits of a product, however many rows there are', () => {
    const kernels = of('float32');
    for (const [a, b] of [
      [256, 1024],
      [2048, 64],
    ] as const)
      tf.tidy(() => {
        const w = tf.tensor2d(randomValues('w', a * b), [a, b]);
        const x = Float32Array.from(randomValues('x', 40 * a));
        const all = kernels
          .matMul(tf.tensor2d(x, [40, a]), w, false)
          .value.dataSync<'float32'>()
          .slice();
        for (const numRows of [1, 2, 3, 40])
          expect(kernels.hostRowsProduct(x.subarray(0, numRows * a), numRows, w)).toEqual(
            all.slice(0, numRows * b),
          );
      });
  });

  it('rounds to bfloat16 and back as the host does', () => {
    const kernels = of('float32');
    const values = randomValues('values', 40_000);
    const [narrowed, widened] = [new Uint16Array(values.length), new Float32Array(values.length)];
    kernels.narrow(values, narrowed);
    kernels.widen(narrowed, widened);
    expect(narrowed).toEqual(narrow(values));
    expect(widened).toEqual(widen(narrowed));
  });

  it('lets TensorFlow keep what it reads, also in reshapes and slices, when its memory serves other tensors', () => {
    const kernels = of('float32');
    tf.tidy(() => {
      const filled = (value: number) => {
        const { tensor, values } = kernels.create([32, 32]);
        values.fill(value);
        return two(tensor);
      };
      const x = filled(1);
      const viewed = tf.tensor2d(x.dataSync<'float32'>(), [32, 32]);
      const readers = [
        tf.reshape(x, [64, 16]),
        tf.slice(x, 0, 16),
        tf.expandDims(x),
        tf.square(x),
        tf.reshape(viewed, [64, 16]),
      ];
      x.dispose();
      const later = filled(2);
      for (const reader of readers) expect(new Set(reader.dataSync())).toEqual(new Set([1]));
      later.dispose();
    });
  });

  it('gives the loss of a token whose probability underflows in float32', () => {
    const kernels = of('float32');
    const [loss, [dx]] = tf.tidy(() => {
      const embedding = tf.tensor2d([100, 0, -100, 0], [2, 2]);
      const op = (x: tf.Tensor) =>
        fusedOp([x, embedding], () => kernels.tiedCrossEntropy(two(x), embedding, Int32Array.of(1)));
      const { value, grads } = tf.valueAndGrads((x: tf.Tensor) => op(x))(
        [tf.tensor2d([1, 0], [1, 2])],
        tf.tensor1d([1]),
      );
      return [value.dataSync()[0], grads.map((each) => [...each.dataSync()])] as const;
    });
    expect(loss).toBeCloseTo(200, 3);
    expect(dx).toEqual([200, 0]);
  });
});
