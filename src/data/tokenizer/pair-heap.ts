/** A pair of token ids as one number that sorts like (left, right); ids are far below 2^26. */
export type PairKey = number;

const ID_RANGE = 2 ** 26;

export function pairKey(left: number, right: number): PairKey {
  return left * ID_RANGE + right;
}

export function pairOf(key: PairKey): [left: number, right: number] {
  return [Math.floor(key / ID_RANGE), key % ID_RANGE];
}

interface Entry {
  readonly key: PairKey;
  readonly count: number;
}

/** Orders by higher count, then smaller pair, as HuggingFace's trainer merges. */
function precedes(a: Entry, b: Entry): boolean {
  return a.count > b.count || (a.count === b.count && a.key < b.key);
}

/** A binary heap of pairs by count. Entries keep the count they were pushed with; the owner checks for stale ones. */
export class PairHeap {
  readonly #entries: Entry[] = [];

  push(key: PairKey, count: number): void {
    const entries = this.#entries;
    const entry = { key, count };
    let at = entries.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!precedes(entry, entries[parent]!)) break;
      entries[at] = entries[parent]!;
      at = parent;
    }
    entries[at] = entry;
  }

  pop(): Entry | undefined {
    const entries = this.#entries;
    const top = entries[0];
    const last = entries.pop();
    if (last === undefined || entries.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= entries.length) break;
      if (child + 1 < entries.length && precedes(entries[child + 1]!, entries[child]!)) child++;
      if (!precedes(entries[child]!, last)) break;
      entries[at] = entries[child]!;
      at = child;
    }
    entries[at] = last;
    return top;
  }
}
