const OFFSET_BASIS = 0x811c9dc5;
const PRIME = 0x01000193;

/**
 * A hash of counts that all ranks of an operation must agree on (FNV-1a over 32-bit words); never 0, which stands for
 * "nothing to agree on".
 */
export function hashCounts(lists: Iterable<ArrayLike<number>>): number {
  let hash = OFFSET_BASIS;
  for (const list of lists) for (let i = 0; i < list.length; i++) hash = Math.imul(hash ^ list[i], PRIME);
  return hash >>> 0 || 1;
}
