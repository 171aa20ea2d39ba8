import type { Tokenizer } from '../data/tokenizer/tokenizer.js';
import { CounterRandom } from '../parameters/counter-random.js';
import { JsonConstraint } from './json-constraint.js';
import { type Sampling, sample } from './sampling.js';
import { TextStream } from './text-stream.js';

export interface TextDrawOptions {
  readonly tokenizer: Tokenizer;
  /** Tokens of the prompt. */
  readonly tokenIds: readonly number[];
  readonly sampling: Sampling;
  readonly seed: number;
  /** Index among several texts for this prompt; `locmoe generate` draws the text of index 0. */
  readonly index?: number;
  /** Maximum number of tokens to draw; at least one. */
  readonly maxTokens: number;
  readonly stops: readonly string[];
  /** Tokens that end the text, besides the end-of-text token. */
  readonly ends: ReadonlySet<number>;
  /** Whether the text is one JSON object; `maxTokens` is then at least 2, and there are no stops. */
  readonly json?: boolean;
}

export interface Drawn {
  readonly token: number;
  /** Text that became certain with this token; at the end, all that remains. */
  readonly text: string;
  /** `stop`: a stop text, an end token or the end of the JSON object has come; `length`: `maxTokens` are drawn; else null. */
  readonly finishReason: 'stop' | 'length' | null;
}

/** Draws a text, token by token. The same seed gives the same text. */
export class TextDraw {
  readonly #random: CounterRandom;
  readonly #stream: TextStream;
  /** Prompt and output. */
  readonly #context: number[];
  readonly #constraint: JsonConstraint | null;

  constructor(private readonly options: TextDrawOptions) {
    const { tokenizer, tokenIds, seed, index = 0, stops, json } = options;
    this.#random = new CounterRandom(seed, index === 0 ? 'sample' : `sample ${index}`);
    this.#stream = new TextStream(tokenizer, stops);
    this.#context = [...tokenIds];
    this.#constraint = json ? new JsonConstraint(tokenizer) : null;
  }

  /** Tokens drawn so far. */
  get numTokens(): number {
    return this.#context.length - this.options.tokenIds.length;
  }

  /** @param logits the logits of the next token */
  next(logits: Float32Array): Drawn {
    const { tokenizer, sampling, maxTokens, ends } = this.options;
    const uniform = this.#random.uniform(this.#context.length);
    const allowed = this.#constraint?.allowed(logits, maxTokens - this.numTokens) ?? logits;
    const token = sample(allowed, this.#context, sampling, uniform);
    this.#constraint?.take(token);
    this.#context.push(token);
    const isEnd = token === tokenizer.endOfText || ends.has(token);
    const text = isEnd ? '' : this.#stream.push(token);
    const stops = isEnd || this.#stream.stopped || this.#constraint?.numNeeded === 0;
    if (!stops && this.numTokens < maxTokens) return { token, text, finishReason: null };
    const rest = this.#stream.end();
    return { token, text: text + rest, finishReason: stops || this.#stream.stopped ? 'stop' : 'length' };
  }
}
