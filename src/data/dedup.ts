import { normalise } from './text.js';

/** Documents with the same first characters of normalised text are copies. */
const PREFIX_CHARS = 200;
/** Shingle length, in characters of normalised text. */
const SHINGLE_CHARS = 24;
/** One shingle in this many is sampled, by hash, so that shifted copies have the same samples. */
const SHINGLE_SAMPLE = 8;
/** A document with more than this share of seen shingles is a near-duplicate. */
const MAX_SEEN_SHARE = 0.4;
/** With fewer sampled shingles (about 90 characters) the share is not reliable. */
const MIN_SHINGLES = 8;

/**
 * A filter that is true for the first of several near-duplicates and false for later ones. Two tests: the
 * first 200 normalised characters, for short texts; and sampled shingles (Broder's resemblance, estimated on
 * hashes that are 0 modulo 8), for long texts that recur with other chunk boundaries.
 */
export function nearDuplicateFilter(): (text: string) => boolean {
  const prefixes = new Set<string>();
  const seen = new Set<number>();
  return (text) => {
    const normal = normalise(text);
    const prefix = normal.slice(0, PREFIX_CHARS);
    if (normal.length === 0 || prefixes.has(prefix)) return false;
    const shingles = sampledShingles(normal);
    let copies = 0;
    for (const shingle of shingles) if (seen.has(shingle)) copies++;
    if (shingles.size >= MIN_SHINGLES && copies > MAX_SEEN_SHARE * shingles.size) return false;
    prefixes.add(prefix);
    for (const shingle of shingles) seen.add(shingle);
    return true;
  };
}

/** Sampled rolling polynomial hashes, modulo 2^32, of the text's shingles. */
function sampledShingles(text: string): Set<number> {
  const BASE = 0x01000193;
  let leading = 1;
  for (let i = 0; i < SHINGLE_CHARS; i++) leading = Math.imul(leading, BASE);
  const sampled = new Set<number>();
  let hash = 0;
  for (let i = 0; i < text.length; i++) {
    hash = (Math.imul(hash, BASE) + text.charCodeAt(i)) | 0;
    if (i >= SHINGLE_CHARS) hash = (hash - Math.imul(leading, text.charCodeAt(i - SHINGLE_CHARS))) | 0;
    if (i < SHINGLE_CHARS - 1) continue;
    // The low bits of a polynomial hash depend on few characters, so mix before sampling.
    const mixed = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 0;
    if ((mixed >>> 8) % SHINGLE_SAMPLE === 0) sampled.add(mixed);
  }
  return sampled;
}
