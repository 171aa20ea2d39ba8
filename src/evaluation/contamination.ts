import type { Dataset } from '../data/dataset.js';
import type { Tokenizer } from '../data/tokenizer/tokenizer.js';
import type { Question } from './question.js';

/** Words in a row that a question must share with the training text. */
export const GRAM = 13;
const SLICE_TOKENS = 1 << 16;
/** A Chinese character is a word; so is a run of other letters and digits. */
const WORD = /\p{Script=Han}|(?:(?!\p{Script=Han})[\p{L}\p{M}\p{N}])+/gu;

interface Gram {
  readonly ids: readonly number[];
  readonly questions: Question[];
}

/**
 * Finds questions that share 13 words in a row, ignoring case and punctuation, with the training text. A question's
 * words are the words of its text and its options.
 */
export class ContaminationCheck {
  readonly #wordIds = new Map<string, number>();
  readonly #grams = new Map<number, Gram[]>();
  readonly #found = new Set<Question>();
  readonly #short = new Set<Question>();
  /** Ids of the words read last, at most 13; the list starts again after a word that no question has. */
  #last: number[] = [];

  constructor(questions: readonly Question[]) {
    for (const question of questions) {
      const ids = wordsOf([question.text, ...question.choices].join('\n')).map((word) => this.#idOf(word));
      if (ids.length < GRAM) this.#short.add(question);
      for (let begin = 0; begin + GRAM <= ids.length; begin++)
        this.#add(ids.slice(begin, begin + GRAM), question);
    }
  }

  /** Reads a piece of training text, which continues the previous one. */
  read(text: string): void {
    for (const word of wordsOf(text)) {
      const id = this.#wordIds.get(word);
      if (id === undefined) {
        this.#last = [];
        continue;
      }
      this.#last.push(id);
      if (this.#last.length > GRAM) this.#last.shift();
      if (this.#last.length === GRAM)
        for (const question of this.#gramOf(this.#last)?.questions ?? []) this.#found.add(question);
    }
  }

  get contaminated(): ReadonlySet<Question> {
    return this.#found;
  }

  /** Questions with fewer than 13 words, which cannot be checked. */
  get tooShort(): ReadonlySet<Question> {
    return this.#short;
  }

  #idOf(word: string): number {
    const known = this.#wordIds.get(word);
    if (known !== undefined) return known;
    this.#wordIds.set(word, this.#wordIds.size);
    return this.#wordIds.size - 1;
  }

  #add(ids: readonly number[], question: Question): void {
    const gram = this.#gramOf(ids);
    if (gram !== undefined) {
      gram.questions.push(question);
      return;
    }
    const hash = hashOf(ids);
    const grams = this.#grams.get(hash);
    if (grams === undefined) this.#grams.set(hash, [{ ids, questions: [question] }]);
    else grams.push({ ids, questions: [question] });
  }

  #gramOf(ids: readonly number[]): Gram | undefined {
    return this.#grams.get(hashOf(ids))?.find((gram) => gram.ids.every((id, i) => id === ids[i]));
  }
}

function wordsOf(text: string): string[] {
  return text.toLowerCase().match(WORD) ?? [];
}

function hashOf(ids: readonly number[]): number {
  let hash = 0x811c9dc5;
  for (const id of ids) hash = Math.imul(hash ^ id, 0x01000193) ^ (hash >>> 15);
  return hash;
}

/** Yields the training text of a dataset, in pieces of whole documents. */
export function* trainingText({ domains, endOfText }: Dataset, tokenizer: Tokenizer): Generator<string> {
  for (const { train } of domains) {
    let begin = 0;
    while (begin < train.ids.length) {
      const ids = train.ids.slice(begin, begin + SLICE_TOKENS);
      const lastEnd = ids.lastIndexOf(endOfText) + 1;
      const piece = lastEnd > 0 ? ids.subarray(0, lastEnd) : ids;
      // With `true`, the text has the name of the end-of-text token between documents.
      yield tokenizer.decode(piece, true);
      begin += piece.length;
    }
  }
}
