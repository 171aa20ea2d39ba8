/** Milliseconds that a call takes. */
export function timeOf(call: () => void): number {
  const started = performance.now();
  call();
  return performance.now() - started;
}
