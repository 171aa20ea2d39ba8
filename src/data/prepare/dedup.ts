import { CompactSet } from './compact-set.js';

/** Documents with the same first characters of normalised text are copies. */
const PREFIX_CHARS = 200;
/** Shingle length, in characters of normalised text. */
const SHINGLE_CHARS = 24;
/** One shingle in this many is sampled, by hash, so that shifted copies have the same samples. */
export const SHINGLE_SAMPLE = 8;
/** A document with more than this share of seen shingles is a near-duplicate. */
const MAX_SEEN_SHARE = 0.4;
/** With fewer sampled shingles (about 90 characters) the share is not reliable. */
const MIN_SHINGLES = 8;
/** The two hashes are polynomials modulo 2^32 in these bases. */
const BASE_A = 0x01000193;
const BASE_B = 0x9e3779b1;
const LEADING_A = powerOf(BASE_A);
const LEADING_B = powerOf(BASE_B);

/** Hashes by which documents are compared, each as two halves of 64 bits. */
export interface Signature {
  /** High and low half; both 0 if the text has no letter or digit. */
  readonly prefix: readonly [number, number];
  /** [2 x shingles]; high and low half of each sampled shingle */
  readonly shingles: Uint32Array;
}

/** @param sample one shingle in this many is kept; a power of two */
export function signatureOf(text: string, sample = SHINGLE_SAMPLE): Signature {
  const normal = normalise(text);
  return { prefix: prefixOf(normal), shingles: sampledShingles(normal, sample) };
}

/**
 * Finds near-duplicates in a stream of documents by two tests: the first 200 normalised characters, for short
 * texts; and sampled shingles (Broder's resemblance, estimated on hashes that are 0 modulo 8 or more), for
 * long texts that recur with other chunk boundaries.
 */
export class NearDuplicates {
  readonly #prefixes: CompactSet;
  readonly #shingles: CompactSet;

  /** The arguments are capacities, which take 5.3 bytes per document and 2.7 per sampled shingle. */
  constructor(numDocuments: number, numShingles: number) {
    this.#prefixes = new CompactSet(numDocuments, 32);
    this.#shingles = new CompactSet(numShingles, 16);
  }

  /** Returns true for the first of several near-duplicates, false for the others. */
  isNew({ prefix: [high, low], shingles }: Signature): boolean {
    if ((high === 0 && low === 0) || this.#prefixes.has(high, low)) return false;
    let copies = 0;
    for (let i = 0; i < shingles.length; i += 2)
      if (this.#shingles.has(shingles[i]!, shingles[i + 1]!)) copies++;
    if (isMostlySeen(copies, shingles.length / 2)) return false;
    this.#prefixes.add(high, low);
    for (let i = 0; i < shingles.length; i += 2) this.#shingles.add(shingles[i]!, shingles[i + 1]!);
    return true;
  }
}

/** Tells whether a document is a near-duplicate, given how many of its shingles were seen before. */
export function isMostlySeen(seen: number, numShingles: number): boolean {
  return numShingles >= MIN_SHINGLES && seen > MAX_SEEN_SHARE * numShingles;
}

/** Computes the weight of the character that leaves a shingle. */
function powerOf(base: number): number {
  let power = 1;
  for (let i = 0; i < SHINGLE_CHARS; i++) power = Math.imul(power, base);
  return power;
}

function prefixOf(normal: Uint16Array): [number, number] {
  if (normal.length === 0) return [0, 0];
  let [a, b] = [1, 1];
  for (let i = 0; i < normal.length && i < PREFIX_CHARS; i++) {
    a = (Math.imul(a, BASE_A) + normal[i]!) | 0;
    b = (Math.imul(b, BASE_B) + normal[i]!) | 0;
  }
  return [mixed(a), mixed(b) || 1];
}

/** Returns the rolling hashes of the text's sampled shingles, each once. */
function sampledShingles(text: Uint16Array, sample: number): Uint32Array {
  const found: number[] = [];
  let [a, b] = [0, 0];
  for (let i = 0; i < text.length; i++) {
    a = (Math.imul(a, BASE_A) + text[i]!) | 0;
    b = (Math.imul(b, BASE_B) + text[i]!) | 0;
    if (i >= SHINGLE_CHARS) {
      a = (a - Math.imul(LEADING_A, text[i - SHINGLE_CHARS]!)) | 0;
      b = (b - Math.imul(LEADING_B, text[i - SHINGLE_CHARS]!)) | 0;
    }
    if (i < SHINGLE_CHARS - 1) continue;
    // The low bits of a polynomial hash depend on few characters, so mix before sampling.
    const hash = mixed(a);
    if (isSampled(hash, sample)) found.push(b, hash);
  }
  const seen = new Set<number>();
  const shingles = new Uint32Array(found.length);
  let length = 0;
  for (let i = 0; i < found.length; i += 2) {
    const hash = found[i + 1]!;
    if (seen.has(hash)) continue;
    seen.add(hash);
    shingles[length++] = mixed(found[i]!);
    shingles[length++] = hash;
  }
  return shingles.subarray(0, length);
}

/** Tells whether a shingle with this low half is sampled; a sparser sample is a subset of a denser one. */
export function isSampled(low: number, sample: number): boolean {
  return ((low >>> 8) & (sample - 1)) === 0;
}

function mixed(hash: number): number {
  return Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 0;
}

/** Entry of `lettersOfUnits` for a unit whose lower case has another length or depends on its neighbours. */
const NOT_ALONE = 0xffff;

/** Lower case of each UTF-16 unit; 0 if it is neither letter nor digit. Built once, in about 20 ms. */
let lettersOfUnits: Uint16Array | undefined;

function unitTable(): Uint16Array {
  return Uint16Array.from({ length: 2 ** 16 }, (_, unit) => {
    const lower = String.fromCharCode(unit).toLowerCase();
    // The lower case of capital sigma depends on its position in the word.
    const isAlone = lower.length === 1 && unit !== 0x3a3 && !(unit >= 0xd800 && unit <= 0xdfff);
    if (!isAlone) return NOT_ALONE;
    return /[\p{L}\p{N}]/u.test(lower) ? lower.charCodeAt(0) : 0;
  });
}

/** Keeps the UTF-16 units of lower-case letters, digits and ideographs, so that layout and punctuation make no difference. */
export function normalise(text: string): Uint16Array {
  lettersOfUnits ??= unitTable();
  const units = new Uint16Array(text.length);
  let length = 0;
  for (let i = 0; i < text.length; i++) {
    const letter = lettersOfUnits[text.charCodeAt(i)]!;
    if (letter === NOT_ALONE) return normaliseSlowly(text);
    if (letter !== 0) units[length++] = letter;
  }
  return units.subarray(0, length);
}

function normaliseSlowly(text: string): Uint16Array {
  const normal = text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '');
  return Uint16Array.from({ length: normal.length }, (_, i) => normal.charCodeAt(i));
}
