// Matrix products on one core, started by sgemm.ts per core: reports ready, waits for the start signal, multiplies.
import { kernels } from 'locmoe/internal/ops/kernels/choose-kernels';
import { tf } from 'locmoe/internal/ops/tensorflow';

/** Rows, columns and inner size: large enough that overhead is negligible. */
const SIZE = 1024;
const WINDOWS = 3;
const WINDOW_MS = 1000;

const a = tf.randomNormal([SIZE, SIZE]) as tf.Tensor2D;
const b = tf.randomNormal([SIZE, SIZE]) as tf.Tensor2D;

function product(): void {
  tf.tidy(() => {
    kernels().matMul(a, b, true).value.dataSync();
  });
}

/** Measures FLOP/s over one time window. */
function measure(): number {
  const started = performance.now();
  let products = 0;
  while (performance.now() - started < WINDOW_MS) {
    product();
    products++;
  }
  return (2 * SIZE ** 3 * products * 1000) / (performance.now() - started);
}

product();
process.on('disconnect', () => process.exit(1));
process.once('message', () => {
  const rates = Array.from({ length: WINDOWS }, measure);
  process.send?.(rates, () => process.exit(0));
});
process.send?.('ready');
