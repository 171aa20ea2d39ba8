// Facts about the rows of recorded routes as small integers, so that a million rows are counted in a second.

/** An integer below `count` for each row; rows with equal values have equal integers. */
export interface Codes {
  readonly of: Int32Array;
  readonly count: number;
}

export function encode(values: readonly (number | string)[]): Codes {
  const codes = new Map<number | string, number>();
  const of = new Int32Array(values.length);
  values.forEach((value, row) => {
    const code = codes.get(value) ?? codes.size;
    if (code === codes.size) codes.set(value, code);
    of[row] = code;
  });
  return { of, count: codes.size };
}

/** Joins two facts: returns the codes of pairs of their values. */
export function join(a: Codes, b: Codes): Codes {
  return encode(Array.from(a.of, (code, row) => code * b.count + b.of[row]!));
}

/** Counts how often each label occurs with each key, by `key * labels.count + label`. */
export function countPairs(
  keys: Codes,
  labels: Codes,
  isCounted: (row: number) => boolean = () => true,
): Map<number, number> {
  const counts = new Map<number, number>();
  keys.of.forEach((key, row) => {
    if (!isCounted(row)) return;
    const pair = key * labels.count + labels.of[row]!;
    counts.set(pair, (counts.get(pair) ?? 0) + 1);
  });
  return counts;
}

/** Returns the most frequent label of each key, on a tie the first one; -1 for a key that is not counted. */
export function mostFrequent(keys: Codes, labels: Codes, isCounted: (row: number) => boolean): Int32Array {
  const best = new Int32Array(keys.count).fill(-1);
  const most = new Int32Array(keys.count);
  for (const [pair, count] of countPairs(keys, labels, isCounted)) {
    const key = Math.floor(pair / labels.count);
    if (count <= most[key]!) continue;
    most[key] = count;
    best[key] = pair % labels.count;
  }
  return best;
}
