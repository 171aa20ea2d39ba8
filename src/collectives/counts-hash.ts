const OFFSET_BASIS = 0x811c9dc5;
const PRIME = 0x01000193;

/**
 * Hash of counts on which all ranks of an operation must agree (FNV-1a over 32-bit words). Never 0, which
 * means "no counts".
 */
export function hashCounts(lists: Iterable<ArrayLike<number>>): number {
  let hash = OFFSET_BASIS;
  for (const list of lists) for (let i = 0; i < list.length; i++) hash = Math.imul(hash ^ list[i]!, PRIME);
  return hash >>> 0 || 1;
}
