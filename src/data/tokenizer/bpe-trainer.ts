import { TrainerError } from '../../errors.js';
import { BYTE_CHARACTERS, PRE_TOKENIZER } from './byte-level.js';
import { PairHeap, type PairKey, pairKey, pairOf } from './pair-heap.js';

const END_OF_TEXT = '<|endoftext|>';
const NUM_SPECIAL = 1;
/** Pairs that occur once are not merged. */
const MIN_COUNT = 2;

export interface BpeVocabulary {
  /** Byte-level tokens by id: the 256 bytes first; without the special token. */
  readonly tokens: readonly string[];
  readonly merges: readonly (readonly [left: string, right: string])[];
}

interface Word {
  /** Token ids; only the first `length` are valid. */
  readonly ids: Uint32Array;
  length: number;
  readonly count: number;
}

interface Pair {
  count: number;
  /** Words that hold or held the pair. */
  readonly words: Word[];
}

/**
 * Trains a byte-level BPE (Sennrich et al. 2016, arXiv 1508.07909, on bytes as in GPT-2). Ties go to the smaller pair of ids as
 * in HuggingFace's trainer, so both give the same merges. A merge updates counts only in the words that hold its pair.
 *
 * @param texts texts, each of which is pre-tokenized on its own
 * @param vocabSize 256 bytes, merges and one special token
 * @throws TrainerError `BAD_CONFIG` if vocabSize is below 257, `BAD_INPUT` if the text has too few repeated pairs
 */
export function trainBpe(texts: Iterable<string>, vocabSize: number): BpeVocabulary {
  if (vocabSize < 256 + NUM_SPECIAL)
    throw new TrainerError(
      'BAD_CONFIG',
      `model.vocabSize: ${vocabSize} is below 257 (256 bytes and one special token)`,
    );
  const numTokens = vocabSize - NUM_SPECIAL;
  const tokens = [...BYTE_CHARACTERS].sort();
  const idOf = new Map(tokens.map((token, id) => [token, id]));
  const merges: [string, string][] = [];
  const pairs = countPairs(wordsOf(texts, idOf));
  const heap = new PairHeap();
  for (const [key, pair] of pairs) heap.push(key, pair.count);

  while (tokens.length < numTokens) {
    const top = popCurrent(heap, pairs);
    if (!top) throw tooLittleText(vocabSize, tokens.length + NUM_SPECIAL);
    const [left, right] = pairOf(top.key);
    const merged = tokens[left]! + tokens[right]!;
    merges.push([tokens[left]!, tokens[right]!]);
    // Two pairs may give the same token ("a"+"bc", "ab"+"c"), which has one id.
    const id = idOf.get(merged) ?? tokens.push(merged) - 1;
    idOf.set(merged, id);
    applyMerge(top.pair.words, left, right, id, pairs, heap);
    pairs.delete(top.key);
  }
  return { tokens, merges };
}

function wordsOf(texts: Iterable<string>, idOf: ReadonlyMap<string, number>): Word[] {
  const counts = new Map<string, number>();
  for (const text of texts)
    for (const [word] of text.matchAll(PRE_TOKENIZER)) counts.set(word, (counts.get(word) ?? 0) + 1);
  const idOfByte = BYTE_CHARACTERS.map((character) => idOf.get(character)!);
  const utf8 = new TextEncoder();
  return Array.from(counts, ([text, count]) => {
    const ids = Uint32Array.from(utf8.encode(text), (byte) => idOfByte[byte]!);
    return { ids, length: ids.length, count };
  });
}

function countPairs(words: readonly Word[]): Map<PairKey, Pair> {
  const pairs = new Map<PairKey, Pair>();
  for (const word of words)
    for (let i = 0; i + 1 < word.length; i++) addPair(pairs, pairKey(word.ids[i]!, word.ids[i + 1]!), word);
  return pairs;
}

function addPair(pairs: Map<PairKey, Pair>, key: PairKey, word: Word): void {
  const pair = pairs.get(key);
  if (!pair) {
    pairs.set(key, { count: word.count, words: [word] });
    return;
  }
  pair.count += word.count;
  if (pair.words[pair.words.length - 1] !== word) pair.words.push(word);
}

/** Pops the most frequent pair. Counts of queued pairs only decrease, so a stale entry is pushed back with its current count. */
function popCurrent(
  heap: PairHeap,
  pairs: ReadonlyMap<PairKey, Pair>,
): { key: PairKey; pair: Pair } | undefined {
  for (;;) {
    const top = heap.pop();
    if (!top) return undefined;
    const pair = pairs.get(top.key);
    if (!pair || pair.count < MIN_COUNT) continue;
    if (pair.count === top.count) return { key: top.key, pair };
    heap.push(top.key, pair.count);
  }
}

/** Replaces (left, right) by `id` in the words, left to right, and updates the counts of the pairs around it. */
function applyMerge(
  words: readonly Word[],
  left: number,
  right: number,
  id: number,
  pairs: Map<PairKey, Pair>,
  heap: PairHeap,
): void {
  const risen = new Set<PairKey>();
  for (const word of words) {
    const { ids } = word;
    let length = 0;
    for (let i = 0; i < word.length; i++) {
      if (i + 1 >= word.length || ids[i] !== left || ids[i + 1] !== right) {
        ids[length++] = ids[i]!;
        continue;
      }
      // The left neighbour is already rewritten, the right one is not.
      if (length > 0)
        replacePair(pairs, risen, pairKey(ids[length - 1]!, left), pairKey(ids[length - 1]!, id), word);
      if (i + 2 < word.length)
        replacePair(pairs, risen, pairKey(right, ids[i + 2]!), pairKey(id, ids[i + 2]!), word);
      ids[length++] = id;
      i++;
    }
    word.length = length;
  }
  for (const key of risen) heap.push(key, pairs.get(key)!.count);
}

function replacePair(
  pairs: Map<PairKey, Pair>,
  risen: Set<PairKey>,
  oldKey: PairKey,
  newKey: PairKey,
  word: Word,
): void {
  const old = pairs.get(oldKey);
  if (old) old.count -= word.count;
  addPair(pairs, newKey, word);
  risen.add(newKey);
}

function tooLittleText(wanted: number, reached: number): TrainerError {
  return new TrainerError(
    'BAD_INPUT',
    `model.vocabSize: the text has repeated pairs for a vocabulary of ${reached} only, not ${wanted}; ` +
      `set model.vocabSize=${reached} or less, or give it more text`,
  );
}

/** Returns the vocabulary as a HuggingFace `tokenizer.json`; `<|endoftext|>` gets the last id. */
export function tokenizerJson({ tokens, merges }: BpeVocabulary): string {
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  return JSON.stringify({
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [
      {
        id: tokens.length,
        content: END_OF_TEXT,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: true,
      },
    ],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries([...tokens, END_OF_TEXT].map((token, id) => [token, id])),
      merges,
    },
  });
}
