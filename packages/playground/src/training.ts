import type { Kitoken } from 'kitoken/web';
import { type RunConfig, runSchema } from 'locmoe/internal/config/schema';
import type { Batch } from 'locmoe/internal/data/batch';
import { type BpeVocabulary, tokenizerJson, trainBpe } from 'locmoe/internal/data/tokenizer/bpe-trainer';
import type { TrainerError } from 'locmoe/internal/errors';
import { CounterRandom } from 'locmoe/internal/parameters/counter-random';
import type { Settings } from './messages.js';

// The texts, model and batches of the page do not depend on where they are computed: a test trains them in Node too.

const SEED = 1;
export const SEQ_LEN = 64;
export const SEQUENCES = 16;
/** Sizes of the vocabulary, of which a text gets the first that it has enough repeated pairs for. */
const VOCABULARIES = [1024, 512, 320, 257];
/** Share of each text that is held out, at its end. */
const HELD_OUT = 0.1;

export interface Text {
  readonly trained: Int32Array;
  /** The first tokens that are held out, one more than a sequence has. */
  readonly heldOut: Int32Array;
  /** The text of each of them. */
  readonly names: readonly string[];
}

export interface Tokenized {
  readonly texts: readonly Text[];
  readonly vocabSize: number;
}

/**
 * Makes a vocabulary of the texts, and tokens of each.
 *
 * @param tokenizers kitoken's, as it is loaded here
 * @throws Error naming a text that is too short
 */
export function tokenize(
  texts: Settings['texts'],
  tokenizers: Pick<typeof Kitoken, 'from_tokenizers'>,
): Tokenized {
  const vocabulary = vocabularyOf(Object.values(texts));
  const tokenizer = tokenizers.from_tokenizers(new TextEncoder().encode(tokenizerJson(vocabulary)));
  const utf8 = new TextDecoder();
  const tokenized = Object.entries(texts).map(([name, text]) => {
    const ids = Int32Array.from(tokenizer.encode(text, false));
    const end = Math.floor((1 - HELD_OUT) * ids.length);
    const heldOut = ids.subarray(end, end + SEQ_LEN + 1);
    if (heldOut.length <= SEQ_LEN)
      throw new Error(
        `${name}: a text of ${ids.length} tokens is too short; it takes ${Math.ceil((SEQ_LEN + 1) / HELD_OUT)}`,
      );
    const names = Array.from(heldOut, (id) => utf8.decode(tokenizer.decode(Uint32Array.of(id), true)));
    return { trained: ids.subarray(0, end), heldOut, names };
  });
  return { texts: tokenized, vocabSize: vocabulary.tokens.length + 1 };
}

function vocabularyOf(texts: readonly string[]): BpeVocabulary {
  for (const size of VOCABULARIES.slice(0, -1))
    try {
      return trainBpe(texts, size);
    } catch (error) {
      if ((error as TrainerError).code !== 'BAD_INPUT') throw error;
    }
  return trainBpe(texts, VOCABULARIES.at(-1)!);
}

export function configOf(
  { texts, router, numExperts, dModel, steps }: Settings,
  vocabSize: number,
): RunConfig {
  return runSchema.parse({
    name: 'playground',
    seed: SEED,
    model: {
      family: 'llama',
      dModel,
      numHeads: 4,
      numDenseLayers: 1,
      numSparseLayers: 2,
      dFeedForward: 2 * dModel,
      vocabSize,
      seqLen: SEQ_LEN,
    },
    // Level 1 is off: which texts share experts is for the router to learn.
    moe: { numExperts, router, expertGroups: 1 },
    data: { domains: Object.keys(texts) },
    train: {
      steps,
      globalBatch: SEQUENCES,
      learningRate: 0.003,
      endLearningRate: 0.0003,
      warmupSteps: Math.min(50, Math.ceil(steps / 10)),
    },
  }) as RunConfig;
}

export function batchOf(sequences: readonly { readonly domain: number; readonly ids: Int32Array }[]): Batch {
  const [tokenIds, targets] = [0, 1].map((shift) => {
    const all = new Int32Array(sequences.length * SEQ_LEN);
    for (const [i, { ids }] of sequences.entries())
      all.set(ids.subarray(shift, shift + SEQ_LEN), i * SEQ_LEN);
    return all;
  }) as [Int32Array, Int32Array];
  const domains = Int32Array.from(sequences, ({ domain }) => domain);
  return { numSequences: sequences.length, seqLen: SEQ_LEN, tokenIds, targets, domains };
}

/** Returns the batch of a step: sequences from random places, as many of each text. */
export function drawBatch(texts: readonly Text[], step: number): Batch {
  const random = new CounterRandom(SEED, `batch ${step}`);
  return batchOf(
    Array.from({ length: SEQUENCES }, (_, i) => {
      const domain = i % texts.length;
      const { trained } = texts[domain]!;
      const begin = Math.floor(random.uniform(i) * (trained.length - SEQ_LEN));
      return { domain, ids: trained.subarray(begin, begin + SEQ_LEN + 1) };
    }),
  );
}
