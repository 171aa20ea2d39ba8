/** Duration of a call in ms. */
export function timeOf(call: () => void): number {
  const started = performance.now();
  call();
  return performance.now() - started;
}
