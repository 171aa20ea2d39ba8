import type { Tokenizer } from '../data/tokenizer/tokenizer.js';
import { TrainerError } from '../errors.js';
import { groupBy, type NonEmpty } from '../group-by.js';
import type { Inference } from './inference.js';

// Shapes: S positions, d hidden size.

/** A text whose last tokens are scored, each after all tokens before it. */
export interface ScoredText {
  /** At least one more than `numScored`, and at most model.seqLen + 1. */
  readonly tokenIds: readonly number[];
  readonly numScored: number;
  /** Domain id: position in data.domains. */
  readonly domain: number;
}

export interface LogLikelihood {
  /** Natural logarithm of the probability of the scored tokens. */
  readonly sum: number;
  /** Whether each of the scored tokens was the likeliest. */
  readonly isGreedy: boolean;
}

/** Rows that pass through the model at once. */
export const ROWS_AT_ONCE = 4096;
/** Elements of the logits that are computed at once. */
const LOGITS_AT_ONCE = 1 << 22;

/**
 * Encodes a context and its continuation as lm-evaluation-harness does: both are encoded together and cut
 * where the context alone would end; white space at the end of the context belongs to the continuation. An
 * empty context is replaced by the end-of-text token.
 */
export function encodePair(
  tokenizer: Tokenizer,
  context: string,
  continuation: string,
): { readonly contextIds: readonly number[]; readonly continuationIds: readonly number[] } {
  if (context === '')
    return { contextIds: [tokenizer.endOfText], continuationIds: [...tokenizer.encode(continuation)] };
  const contextIds = [...tokenizer.encode(context.trimEnd())];
  const wholeIds = tokenizer.encode(context + continuation);
  return { contextIds, continuationIds: [...wholeIds.subarray(contextIds.length)] };
}

/**
 * Computes log-likelihoods of texts, several in one forward pass. Texts that differ in their last token alone, such as
 * answers of one letter, share a sequence.
 *
 * @throws TrainerError `NOT_FINITE` if a log-likelihood is NaN
 */
export function logLikelihoods(inference: Inference, texts: readonly ScoredText[]): LogLikelihood[] {
  const found: LogLikelihood[] = new Array(texts.length);
  for (const sequences of batchesOf(texts)) {
    const begun = inference.decoder.begin(
      sequences.map(([first]) => ({
        tokenIds: inputOf(texts[first]!),
        domain: texts[first]!.domain,
        maxTokens: 0,
      })),
    );
    begun.forEach(({ hiddenSD }, i) => {
      const scored = sequences[i]!.map((text) => texts[text]!);
      scoreSequence(inference, hiddenSD, scored).forEach((logLikelihood, k) => {
        found[sequences[i]![k]!] = logLikelihood;
      });
    });
  }
  if (found.some(({ sum }) => Number.isNaN(sum)))
    throw new TrainerError(
      'NOT_FINITE',
      `checkpoint ${inference.checkpoint.folder}: the model gives NaN; its weights are of no use, take an earlier one`,
    );
  return found;
}

function inputOf({ tokenIds }: ScoredText): readonly number[] {
  return tokenIds.slice(0, -1);
}

/** Indices of texts that share their input. */
type Sequence = NonEmpty<number>;

/** Yields batches of sequences of similar lengths. */
function* batchesOf(texts: readonly ScoredText[]): Generator<Sequence[]> {
  const byInput = groupBy(texts.keys(), (i) => `${texts[i]!.domain}:${inputOf(texts[i]!)}`);
  // Sequences of similar lengths go together, as shorter ones are padded to the longest.
  const lengthOf = ([first]: Sequence) => texts[first]!.tokenIds.length;
  const sequences = [...byInput.values()].sort((a, b) => lengthOf(a) - lengthOf(b));
  let batch: Sequence[] = [];
  for (const sequence of sequences) {
    if (batch.length > 0 && (batch.length + 1) * lengthOf(sequence) > ROWS_AT_ONCE) {
      yield batch;
      batch = [];
    }
    batch.push(sequence);
  }
  if (batch.length > 0) yield batch;
}

/** @param hiddenSD hidden states of the input that the texts share */
function scoreSequence(
  { decoder, config: { model } }: Inference,
  hiddenSD: Float32Array,
  texts: readonly ScoredText[],
): LogLikelihood[] {
  const sums = texts.map(() => 0);
  const isGreedy = texts.map(() => true);
  const atOnce = Math.max(1, Math.floor(LOGITS_AT_ONCE / model.vocabSize));
  const length = hiddenSD.length / model.dModel;
  const first = length - Math.max(...texts.map(({ numScored }) => numScored));
  for (let begin = first; begin < length; begin += atOnce) {
    const end = Math.min(length, begin + atOnce);
    const rows = decoder.logitsOf(hiddenSD.subarray(begin * model.dModel, end * model.dModel));
    rows.forEach((logits, i) => {
      const position = begin + i;
      const most = maxOf(logits);
      const logSum = logSumExp(logits, most);
      texts.forEach(({ tokenIds, numScored }, k) => {
        if (position < length - numScored) return;
        const logit = logits[tokenIds[position + 1]!]!;
        sums[k]! += logit - logSum;
        isGreedy[k] &&= logit === most;
      });
    });
  }
  return sums.map((sum, k) => ({ sum, isGreedy: isGreedy[k]! }));
}

/**
 * Computes log sum exp in double precision.
 *
 * @param max the greatest logit
 */
export function logSumExp(logits: Float32Array, max = maxOf(logits)): number {
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i]! - max);
  return max + Math.log(sum);
}

/** Returns the greatest value; NaN if any value is. */
function maxOf(values: Float32Array): number {
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < values.length; i++) max = Math.max(max, values[i]!);
  return max;
}

/** Scores texts by a model. */
export interface Scorer extends Pick<Inference, 'checkpoint' | 'config' | 'tokenizer'> {
  /** Number of calls of `score` that may run concurrently. */
  readonly atOnce: number;
  /** @throws TrainerError as `logLikelihoods` */
  score(texts: readonly ScoredText[]): Promise<LogLikelihood[]>;
}
