import { tf } from './tensorflow.js';

/** |x_t| of each row, [T, 1], without a gradient. On the host: TensorFlow would first copy what other kernels computed. */
export function rowNorms(xTD: tf.Tensor2D): tf.Tensor2D {
  const [numRows, dModel] = xTD.shape;
  const x = xTD.dataSync<'float32'>();
  const normsT = new Float32Array(numRows);
  for (let row = 0; row < numRows; row++) {
    let square = 0;
    for (let i = row * dModel; i < (row + 1) * dModel; i++) square += x[i]! * x[i]!;
    normsT[row] = Math.sqrt(square);
  }
  return tf.tensor2d(normsT, [numRows, 1]);
}
