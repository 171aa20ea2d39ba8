import type { Tokenizer } from '../data/tokenizer/tokenizer.js';
import { TrainerError } from '../errors.js';
import { bytesToEnd, JSON_START, type JsonState, nextJson } from './json-automaton.js';

/** From every state one of these bytes leads nearer to the end; each needs a token, or an object might not end in time. */
const ENDING_BYTES = [...Buffer.from('{":0}]nruealsu'), 0x80, 0x90, 0xa0];

/** Bytes of the tokens of a vocabulary. */
interface Vocabulary {
  readonly bytes: readonly Uint8Array[];
  /** Whether the token consists of whole characters that may stand anywhere in a string. */
  readonly plain: readonly boolean[];
}

const vocabularies = new WeakMap<Tokenizer, Vocabulary>();

/** Restricts a text to one JSON object that is complete within the tokens left. */
export class JsonConstraint {
  #state: JsonState = JSON_START;
  readonly #vocabulary: Vocabulary;

  /** @throws TrainerError `BAD_INPUT` if the tokenizer has no token for one of `ENDING_BYTES` */
  constructor(tokenizer: Tokenizer) {
    this.#vocabulary = vocabularies.get(tokenizer) ?? vocabularyOf(tokenizer);
    vocabularies.set(tokenizer, this.#vocabulary);
  }

  /** Minimum number of tokens that the text still needs; 0 once the object is complete. */
  get numNeeded(): number {
    return bytesToEnd(this.#state);
  }

  /**
   * Returns logits with minus infinity for the tokens that must not come next. At least one token remains: from every
   * state some token of one byte leads nearer to the end.
   *
   * @param numLeft tokens that may still be drawn, this one included; at least `numNeeded`
   */
  allowed(logits: Float32Array, numLeft: number): Float32Array {
    // The first byte excludes most tokens.
    const firsts = Array.from({ length: 256 }, (_, byte) => nextJson(this.#state, byte));
    const inString = this.#state.place === 'string' && this.#state.rest === '' && this.numNeeded < numLeft;
    return logits.map((logit, id) => {
      if (inString && this.#vocabulary.plain[id]) return logit;
      const state = this.#after(id, firsts);
      return state !== null && bytesToEnd(state) < numLeft ? logit : Number.NEGATIVE_INFINITY;
    });
  }

  take(id: number): void {
    const state = this.#after(id, null);
    if (state === null) throw new TrainerError('INTERNAL', `token ${id} is not of a JSON object here`);
    this.#state = state;
  }

  /** @param firsts states after the first byte, if they are known */
  #after(id: number, firsts: readonly (JsonState | null)[] | null): JsonState | null {
    const bytes = this.#vocabulary.bytes[id];
    // A token without text would bring the object no nearer to its end.
    if (bytes === undefined || bytes.length === 0) return null;
    let state = firsts === null ? nextJson(this.#state, bytes[0]!) : firsts[bytes[0]!]!;
    for (let i = 1; i < bytes.length && state !== null; i++) state = nextJson(state, bytes[i]!);
    return state;
  }
}

function vocabularyOf(tokenizer: Tokenizer): Vocabulary {
  const bytes = Array.from({ length: tokenizer.vocabSize }, (_, id) => tokenizer.bytes([id]));
  const single = new Set(bytes.flatMap((each) => (each.length === 1 ? [each[0]!] : [])));
  const missing = ENDING_BYTES.find((byte) => !single.has(byte));
  if (missing !== undefined)
    throw new TrainerError(
      'BAD_INPUT',
      `the tokenizer has no token of the byte ${missing} alone, which JSON may need`,
    );
  const string = { ...JSON_START, place: 'string' as const, open: '{' };
  const plain = bytes.map((each) => {
    let state: JsonState | null = string;
    for (const byte of each) state = state?.place === 'string' ? nextJson(state, byte) : null;
    return each.length > 0 && state?.place === 'string' && state.rest === '';
  });
  return { bytes, plain };
}
