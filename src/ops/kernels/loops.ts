import { mapTuple } from '../../map-tuple.js';
import { addBiasOnHost, rmsNormOnHost } from '../on-host.js';
import type { tf } from '../tensorflow.js';
import type { DeferredReads, Kernels } from './kernels.js';

// Shapes: T rows or tokens, d length of a gain or a bias, C columns of queries, keys and values.

/** Tensors of fewer elements are added faster by a loop than by a kernel. */
const LEAST_ELEMENTS = 1 << 14;

/** Adds small tensors by a loop, with the same bits as `add`, which adds others. */
export function withSmallSums(create: Kernels['create'], add: Kernels['add']): Kernels['add'] {
  return (x, y) => {
    if (x.size >= LEAST_ELEMENTS) return add(x, y);
    const { tensor, values } = create(x.shape);
    const [xs, ys] = [valuesOf(x), valuesOf(y)];
    for (let i = 0; i < values.length; i++) values[i] = xs[i]! + ys[i]!;
    return tensor;
  };
}

const IMMEDIATE_READS: DeferredReads = {
  add: (tensor, use) => use(valuesOf(tensor)),
  finish: () => undefined,
  drop: () => undefined,
};

/** Operations that are loops on the processor: its libraries have none of them, or do not always. */
export function loops(
  create: Kernels['create'],
): Pick<
  Kernels,
  'deferredReads' | 'updates' | 'rmsNorm' | 'addBias' | 'rowNorms' | 'unitRows' | 'groupProducts' | 'rotate'
> {
  return {
    deferredReads: () => IMMEDIATE_READS,
    updates: null,
    rmsNorm(xTD, gainD, epsilon) {
      const d = gainD.size;
      const numRows = xTD.size / d;
      const y = create(xTD.shape);
      const inverseT = new Float64Array(numRows);
      const [x, gain] = mapTuple([xTD, gainD], valuesOf);
      rmsNormOnHost(x, gain, epsilon, y.values, inverseT);
      return {
        value: y.tensor,
        saved: [xTD, gainD],
        // dx = (g - n mean(g n)) / rms, with g = dy gain and n the normalised input
        backward: (dyTD, saved) => {
          const [dx, dGain] = mapTuple([xTD, gainD], ({ shape }) => create(shape));
          const gradient = dx.values;
          const ofGain = new Float64Array(d);
          const [dy, input, scale] = [dyTD, ...saved].map(valuesOf) as [
            Float32Array,
            Float32Array,
            Float32Array,
          ];
          for (let row = 0; row < numRows; row++) {
            const begin = row * d;
            const inverse = inverseT[row]!;
            let along = 0;
            for (let i = 0; i < d; i++) {
              const product = dy[begin + i]! * input[begin + i]!;
              along += product * scale[i]!;
              ofGain[i]! += product * inverse;
            }
            const back = (along * inverse * inverse) / d;
            for (let i = 0; i < d; i++)
              gradient[begin + i] = inverse * (dy[begin + i]! * scale[i]! - input[begin + i]! * back);
          }
          dGain.values.set(ofGain);
          return [dx.tensor, dGain.tensor];
        },
      };
    },
    addBias(xTD, biasD) {
      const y = create(xTD.shape);
      y.values.set(valuesOf(xTD));
      addBiasOnHost(y.values, valuesOf(biasD));
      return {
        value: y.tensor,
        saved: [],
        backward: (dyTD) => {
          const dBias = create(biasD.shape);
          const dy = valuesOf(dyTD);
          dBias.values.fill(0);
          for (let begin = 0; begin < dy.length; begin += dBias.values.length)
            for (let i = 0; i < dBias.values.length; i++) dBias.values[i]! += dy[begin + i]!;
          return [dyTD, dBias.tensor];
        },
      };
    },
    rowNorms(xTD) {
      const [numRows, d] = xTD.shape;
      const x = valuesOf(xTD);
      const norms = new Float64Array(numRows);
      for (let row = 0, at = 0; row < numRows; row++) {
        let square = 0;
        for (const end = at + d; at < end; at++) square += x[at]! * x[at]!;
        norms[row] = Math.sqrt(square);
      }
      return norms;
    },
    unitRows(xTD, least) {
      const [numRows, width] = xTD.shape;
      const y = create(xTD.shape);
      const x = valuesOf(xTD);
      const inverseNorms = new Float32Array(numRows);
      for (let row = 0; row < numRows; row++) {
        const begin = row * width;
        let square = least;
        for (let i = begin; i < begin + width; i++) square += x[i]! * x[i]!;
        const inverse = 1 / Math.sqrt(square);
        inverseNorms[row] = inverse;
        for (let i = begin; i < begin + width; i++) y.values[i] = x[i]! * inverse;
      }
      return {
        value: y.tensor,
        saved: [y.tensor],
        // dx = (dy - y (dy . y)) / norm
        backward: (dyTD, [keptY]) => {
          const dx = create(xTD.shape);
          const [dy, unit] = mapTuple([dyTD, keptY!], valuesOf);
          for (let row = 0; row < numRows; row++) {
            const begin = row * width;
            let along = 0;
            for (let i = begin; i < begin + width; i++) along += dy[i]! * unit[i]!;
            for (let i = begin; i < begin + width; i++)
              dx.values[i] = (dy[i]! - unit[i]! * along) * inverseNorms[row]!;
          }
          return [dx.tensor];
        },
      };
    },
    groupProducts(xTD, numGroups, factorsD) {
      const [numRows, d] = xTD.shape;
      const width = d / numGroups;
      const scale = 1 / Math.sqrt(width);
      const factorsOf = (tensor: tf.Tensor | null | undefined) =>
        tensor ? valuesOf(tensor) : new Float32Array(d).fill(1);
      const { tensor, values } = create([numRows, numGroups]);
      const x = valuesOf(xTD);
      const factors = factorsOf(factorsD);
      for (let row = 0, at = 0, place = 0; row < numRows; row++)
        for (let i = 0; i < d; ) {
          let sum = 0;
          for (const end = i + width; i < end; i++, at++) sum += x[at]! * factors[i]!;
          values[place++] = scale * sum;
        }
      return {
        value: tensor,
        saved: factorsD === null ? [xTD] : [xTD, factorsD],
        backward: (dyTE, [keptX, keptFactors]) => {
          const { tensor: dx, values: gradient } = create(xTD.shape);
          const ofFactors = new Float64Array(d);
          const [dy, xs] = mapTuple([dyTE, keptX!], valuesOf);
          const kept = factorsOf(keptFactors);
          for (let row = 0, at = 0, place = 0; row < numRows; row++)
            for (let i = 0; i < d; ) {
              const own = scale * dy[place++]!;
              for (const end = i + width; i < end; i++, at++) {
                gradient[at] = own * kept[i]!;
                ofFactors[i]! += own * xs[at]!;
              }
            }
          if (factorsD === null) return [dx];
          const dFactors = create([d]);
          dFactors.values.set(ofFactors);
          return [dx, dFactors.tensor];
        },
      };
    },
    rotate(parts, rotation, { seqLen, positionsT }) {
      const numRows = parts[0]!.shape[0];
      const widths = parts.map(({ shape }) => shape[1]);
      const width = widths.reduce((sum, each) => sum + each, 0);
      /** Copies each row's parts into their columns of the concatenation, or back, and turns queries and keys. */
      const move = (all: Float32Array, values: readonly Float32Array[], direction: 1 | -1) => {
        for (let part = 0, begin = 0; part < parts.length; begin += widths[part++]!) {
          const size = widths[part]!;
          const own = values[part]!;
          const [from, to] = direction === 1 ? [own, all] : [all, own];
          for (let row = 0; row < numRows; row++) {
            const beside = row * width + begin;
            const [source, target] = direction === 1 ? [row * size, beside] : [beside, row * size];
            if (rotation === null || part === 2) to.set(from.subarray(source, source + size), target);
            else {
              const position = positionsT?.[row] ?? row % seqLen;
              rotation.rotate(from, source, size / rotation.size, position, direction, to, target);
            }
          }
        }
      };
      const qkv = create([numRows, width]);
      move(qkv.values, parts.map(valuesOf), 1);
      return {
        value: qkv.tensor,
        saved: [],
        backward: (dyTC) => {
          const gradients = parts.map(({ shape }) => create(shape));
          const ofParts = gradients.map(({ values }) => values);
          move(valuesOf(dyTC), ofParts, -1);
          return gradients.map(({ tensor }) => tensor);
        },
      };
    },
  };
}

function valuesOf(tensor: tf.Tensor): Float32Array {
  return tensor.dataSync<'float32'>();
}
