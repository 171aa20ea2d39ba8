import type { Dataset, TokenIds } from '../data/dataset.js';
import { permutation } from '../data/shuffle.js';
import type { LogLikelihood, Scorer } from '../inference/log-likelihood.js';
import { CounterRandom } from '../parameters/counter-random.js';
import { inBatches, type Watch } from './in-batches.js';
import { refusal } from './question.js';
import { indexOfMost } from './statistics.js';

/** Continuations to choose from, one of them true. */
export const NUM_CHOICES = 4;
const MAX_CONTINUATION_TOKENS = 16;
/** A text must have at least this many tokens before its continuation. */
const MIN_CONTEXT_TOKENS = 8;
const ITEMS_AT_ONCE = 32;
/** Maximum number of draws for one item; only a text that repeats itself takes many. */
const MAX_DRAWS = 100;

/** A held-out text with its own continuation and three continuations of other texts of its domain. */
export interface ClozeItem {
  /** Domain id. */
  readonly domain: number;
  /** Index of the first token of the context in the domain's validation text. */
  readonly begin: number;
  readonly contextIds: readonly number[];
  /** Token ids of each continuation; all have the same length. */
  readonly continuations: readonly (readonly number[])[];
  /** Index of the true continuation. */
  readonly answer: number;
}

export interface ClozeAnswer extends ClozeItem {
  readonly logLikelihoods: readonly LogLikelihood[];
  /** Log-likelihood of each option without a context. */
  readonly unconditional: readonly LogLikelihood[];
  /** 1 if the true continuation is the likeliest, and if the context raises its likelihood the most; else 0. */
  readonly metrics: { readonly acc: number; readonly acc_mutual_info: number };
}

type Place = Pick<ClozeItem, 'begin' | 'contextIds'> & { readonly continuation: readonly number[] };

/** Returns the number of tokens of a continuation. */
export function continuationTokens(seqLen: number): number {
  return Math.max(1, Math.min(MAX_CONTINUATION_TOKENS, Math.floor(seqLen / 4)));
}

/**
 * Returns up to `count` items of each domain, from windows of its validation text that are drawn with the seed. Context
 * and continuation fill the model's window unless a text begins within it.
 *
 * @throws TrainerError `BAD_INPUT` if a domain does not have enough text
 */
export function clozeItems(
  { domains }: Dataset,
  {
    seqLen,
    endOfText,
    count,
    seed,
  }: { readonly seqLen: number; readonly endOfText: number; readonly count: number; readonly seed: number },
): ClozeItem[] {
  return domains.flatMap(({ name, validation }, domain) => {
    const places = placesOf(validation.ids, {
      seqLen,
      endOfText,
      seed: `${seed}/cloze/${name}`,
      count: Math.max(count, NUM_CHOICES),
    });
    const items = itemsOf(places, domain, new CounterRandom(seed, `cloze ${name}`));
    if (items.length === 0)
      throw refusal(
        `domain ${name}`,
        `has validation text for ${places.length} continuations; at least ${NUM_CHOICES} different ones are needed (data.validationShare)`,
      );
    return items.slice(0, count);
  });
}

function placesOf(
  ids: TokenIds,
  { seqLen, endOfText, count, seed }: { seqLen: number; endOfText: number; count: number; seed: string },
): Place[] {
  const windowTokens = seqLen + 1;
  const numWindows = Math.floor(ids.length / windowTokens);
  const windowAt = permutation(numWindows, seed);
  const places: Place[] = [];
  for (let i = 0; i < numWindows && places.length < count; i++) {
    const first = windowAt(i) * windowTokens;
    const window = [...ids.slice(first, first + windowTokens)];
    const split = windowTokens - continuationTokens(seqLen);
    // A text follows an end-of-text token, as every text does in training.
    const start = Math.max(0, window.lastIndexOf(endOfText, split - 1));
    const continuation = window.slice(split);
    if (continuation.includes(endOfText) || split - start < Math.min(MIN_CONTEXT_TOKENS, split)) continue;
    places.push({ begin: first + start, contextIds: window.slice(start, split), continuation });
  }
  return places;
}

function itemsOf(places: readonly Place[], domain: number, random: CounterRandom): ClozeItem[] {
  let draws = 0;
  const draw = (below: number) => Math.floor(random.uniform(draws++) * below);
  return places.flatMap(({ begin, contextIds, continuation }) => {
    const others = new Map<string, readonly number[]>();
    for (let tries = 0; tries < MAX_DRAWS && others.size < NUM_CHOICES - 1; tries++) {
      const other = places[draw(places.length)]!.continuation;
      if (`${other}` !== `${continuation}`) others.set(`${other}`, other);
    }
    if (others.size < NUM_CHOICES - 1) return [];
    const answer = draw(NUM_CHOICES);
    return [
      {
        domain,
        begin,
        contextIds,
        continuations: [...others.values()].toSpliced(answer, 0, continuation),
        answer,
      },
    ];
  });
}

/** Scores the continuations of each item, with and without their context. */
export async function answerCloze(
  scorer: Scorer,
  items: readonly ClozeItem[],
  watch: Watch,
): Promise<ClozeAnswer[]> {
  const batches = await inBatches(items, ITEMS_AT_ONCE, scorer, watch, (some) => answersTo(scorer, some));
  return batches.flat();
}

async function answersTo(scorer: Scorer, items: readonly ClozeItem[]): Promise<ClozeAnswer[]> {
  const texts = items.flatMap(({ domain, contextIds, continuations }) => {
    const after = (before: readonly number[]) =>
      continuations.map((ids) => ({ tokenIds: [...before, ...ids], numScored: ids.length, domain }));
    return [...after(contextIds), ...after([scorer.tokenizer.endOfText])];
  });
  const left = await scorer.score(texts);
  return items.map((item) => {
    const own = left.splice(0, NUM_CHOICES);
    const unconditional = left.splice(0, NUM_CHOICES);
    const isBest = (scores: readonly number[]) => Number(indexOfMost(scores) === item.answer);
    const metrics = {
      acc: isBest(own.map(({ sum }) => sum)),
      acc_mutual_info: isBest(own.map(({ sum }, k) => sum - unconditional[k]!.sum)),
    };
    return { ...item, logLikelihoods: own, unconditional, metrics };
  });
}
