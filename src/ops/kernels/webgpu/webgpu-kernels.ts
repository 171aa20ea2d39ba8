import { narrow, widen } from '../../bfloat16.js';
import type { Kernels } from '../kernels.js';
import { create, tensorflowKernels } from '../tensorflow/tensorflow-kernels.js';
import { causalAttention } from './attention.js';
import { tiedCrossEntropy } from './cross-entropy.js';
import type { Device } from './device.js';
import { DeviceMemory } from './device-memory.js';
import { add } from './elementwise.js';
import { WebGpuNetwork } from './feed-forward.js';
import { groupProducts } from './groups.js';
import { addBias, layerNorm, rmsNorm, unitRows } from './norms.js';
import { matMul, matrixOf, product } from './products.js';
import { rotate } from './rotate.js';
import { concatRows, embedding, gatherRows, rowNorms, scatterRows, sliceRows } from './rows.js';
import { deviceUpdates } from './updates.js';

/** The operations on a device of WebGPU, in float32; their results stay there until the host needs them. */
export function webGpuKernels(device: Device): Kernels {
  const memory = new DeviceMemory(device);
  return {
    name: 'webgpu',
    description: `WebGPU on ${device.info.description}, float32`,
    create,
    deferredReads: () => memory.deferredReads(),
    updates: deviceUpdates(memory),
    matMul: (xTA, wAB) => matMul(memory, xTA, wAB),
    network: () => new WebGpuNetwork(memory),
    layerNorm: (xTD, gainD, biasD) => layerNorm(memory, xTD, gainD, biasD),
    rmsNorm: (xTD, gainD, epsilon) => rmsNorm(memory, xTD, gainD, epsilon),
    addBias: (xTD, biasD) => addBias(memory, xTD, biasD),
    rowNorms: (xTD) => rowNorms(memory, xTD),
    unitRows: (xTD, least) => unitRows(memory, xTD, least),
    groupProducts: (...inputs) => groupProducts(memory, ...inputs),
    rotate: (parts, rotation, shape) => rotate(memory, parts, rotation, shape),
    causalAttention: (qkvTC, shape) => causalAttention(memory, qkvTC, shape),
    tiedCrossEntropy: (xTD, embeddingVD, targetsT) => tiedCrossEntropy(memory, xTD, embeddingVD, targetsT),
    embedding: (tokensVD, positionsPD, tokenIdsT, seqLen, positionsT) =>
      embedding(
        memory,
        [tokensVD, positionsPD],
        [tokenIdsT, positionsT ?? Int32Array.from(tokenIdsT, (_, row) => row % seqLen)],
      ),
    add: (x, y) => (memory.holds(x) || memory.holds(y) ? add(memory, x, y) : tensorflowKernels.add(x, y)),
    gatherRows: (xTD, indicesN) => gatherRows(memory, xTD, indicesN),
    scatterRows: (rowsND, weightsTK, scatter) => scatterRows(memory, rowsND, weightsTK, scatter),
    sliceRows: (xTD, begin, count) => sliceRows(memory, xTD, begin, count),
    concatRows: (parts) => concatRows(memory, parts),
    narrow: (from, to) => void narrow(from, to),
    widen: (from, to) => void widen(from, to),
    hostRowsProduct(xTA, numRows, wAB) {
      const [a, b] = wAB.shape as [number, number];
      const x = device.upload(xTA);
      return memory.borrow(numRows * b, (y) => {
        product(memory, { buffer: x, rows: numRows, columns: a }, matrixOf(memory, wAB), y);
        device.free(x);
        return device.read(y, numRows * b);
      });
    },
  };
}
