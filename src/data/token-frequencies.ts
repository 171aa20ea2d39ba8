export function withEnd(ids: Uint32Array, endOfText: number): Uint32Array {
  const ended = new Uint32Array(ids.length + 1);
  ended.set(ids);
  ended[ids.length] = endOfText;
  return ended;
}

/** Shannon entropy, in nats, of the distribution with these frequencies; 0 if there are none. */
export function entropyOf(frequencies: Float64Array): number {
  const total = frequencies.reduce((a, b) => a + b, 0);
  return frequencies.reduce((sum, n) => (n > 0 ? sum - (n / total) * Math.log(n / total) : sum), 0);
}
