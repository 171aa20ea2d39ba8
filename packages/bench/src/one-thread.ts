/**
 * TensorFlow computes on one thread, as in a worker, here and in processes that this one starts. To be called before
 * TensorFlow is loaded, which reads this once.
 */
export function computeOnOneThread(): void {
  process.env.TF_NUM_INTRAOP_THREADS ??= '1';
  process.env.TF_NUM_INTEROP_THREADS ??= '1';
}
