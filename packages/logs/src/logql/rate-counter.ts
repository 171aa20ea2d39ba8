/** Farther than this many mean distances from the edge of a window, a counter may have begun inside it. */
const FAR = 1.1;

/**
 * The rate of a counter in a window of ascending times: its increase with resets made good, extrapolated to the
 * edges of the window as Prometheus does it.
 *
 * @param timesMs as `startMs`, from any origin
 * @returns per second; 0 for a single sample
 */
export function rateOfCounter(
  timesMs: Float64Array,
  values: Float64Array,
  startMs: number,
  rangeMs: number,
): number {
  const last = values.length - 1;
  if (last < 1) return 0;
  let increase = values[last]! - values[0]!;
  for (let i = 1; i <= last; i++) if (values[i]! < values[i - 1]!) increase += values[i - 1]!;
  const sampledMs = timesMs[last]! - timesMs[0]!;
  const meanMs = sampledMs / last;
  const toEdge = (distanceMs: number) => (distanceMs < FAR * meanMs ? distanceMs : meanMs / 2);
  let beforeMs = toEdge(timesMs[0]! - startMs);
  // A counter is never below zero.
  if (increase > 0 && values[0]! >= 0) beforeMs = Math.min(beforeMs, (sampledMs * values[0]!) / increase);
  const afterMs = toEdge(startMs + rangeMs - timesMs[last]!);
  return (increase * ((sampledMs + beforeMs + afterMs) / sampledMs)) / (rangeMs / 1000);
}
