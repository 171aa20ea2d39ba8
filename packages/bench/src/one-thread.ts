/**
 * Makes TensorFlow compute on one thread, as in a worker, in this process and in those that it starts. Must
 * be called before TensorFlow is loaded, which reads the settings once.
 */
export function computeOnOneThread(): void {
  process.env.TF_NUM_INTRAOP_THREADS ??= '1';
  process.env.TF_NUM_INTEROP_THREADS ??= '1';
}
