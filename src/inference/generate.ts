import { CounterRandom } from '../parameters/counter-random.js';
import type { Inference } from './inference.js';
import { type Sampling, sample } from './sampling.js';
import { TextStream } from './text-stream.js';

export interface GenerateOptions extends Sampling {
  readonly prompt: string;
  /** Domain id: position in data.domains. */
  readonly domain: number;
  readonly maxTokens: number;
  readonly seed: number;
  /** Texts that end the output; they are not part of it. */
  readonly stop: readonly string[];
}

/**
 * Continues the prompt, piece by piece, until the end-of-text token, a stop text or `maxTokens`. The same
 * seed gives the same text.
 */
export function* generate(
  { model, tokenizer, decoder }: Inference,
  options: GenerateOptions,
): Generator<string, void, void> {
  const { domain, maxTokens, seed, stop } = options;
  // In training every text follows an end-of-text token.
  const tokenIds = [tokenizer.endOfText, ...tokenizer.encode(options.prompt)];
  const random = new CounterRandom(seed, 'sample');
  const stream = new TextStream(tokenizer, stop);
  const [{ sequence, hiddenSD }] = decoder.begin([{ tokenIds, domain, maxTokens }]);
  let [logits] = decoder.logitsOf(hiddenSD.subarray(-model.config.model.dModel));
  for (let count = 1; ; count++) {
    const next = sample(logits, sequence.tokenIds, options, random.uniform(sequence.tokenIds.length));
    if (next === tokenizer.endOfText) break;
    yield stream.push(next);
    if (stream.stopped || count === maxTokens) break;
    [logits] = decoder.extend([sequence], [next]);
  }
  yield stream.end();
}

/** All that `generate` gives. */
export function generateText(inference: Inference, options: GenerateOptions): string {
  return [...generate(inference, options)].join('');
}
