import type { Message } from '../data/template.js';
import { TrainerError } from '../errors.js';
import { chatFormOf, type Reading } from './chat-form.js';
import type { Inference } from './inference.js';
import type { Sampling } from './sampling.js';
import { TextDraw } from './text-draw.js';

export interface GenerateOptions extends Sampling {
  /** A text to continue; or a conversation, to be answered in the form that the model learned. */
  readonly prompt: string | readonly Message[];
  /** Domain id: position in data.domains. */
  readonly domain: number;
  readonly maxTokens: number;
  readonly seed: number;
  /** Texts that end the output; they are not part of it. */
  readonly stop: readonly string[];
}

/**
 * Continues the prompt, piece by piece, until a token that ends it, a stop text or `maxTokens`. The same
 * seed gives the same text.
 */
export function* generate(inference: Inference, options: GenerateOptions): Generator<string, void, void> {
  const { model, tokenizer, decoder } = inference;
  const { domain, maxTokens, seed, stop } = options;
  const { tokenIds, ends } = asRead(inference, options);
  const draw = new TextDraw({ tokenizer, tokenIds, sampling: options, seed, maxTokens, stops: stop, ends });
  const { sequence, hiddenSD } = decoder.begin([{ tokenIds, domain, maxTokens }])[0]!;
  let logits = decoder.logitsOf(hiddenSD.subarray(-model.config.model.dModel))[0]!;
  for (;;) {
    const { token, text, finishReason } = draw.next(logits);
    yield text;
    if (finishReason !== null) return;
    logits = decoder.extend([sequence], [token])[0]!;
  }
}

/**
 * Encodes the prompt for the model.
 *
 * @throws TrainerError `BAD_INPUT` for a conversation in a domain without a chat form, or one that its template rejects
 */
export function asRead(
  { checkpoint, config, tokenizer }: Inference,
  { prompt, domain }: Pick<GenerateOptions, 'prompt' | 'domain'>,
): Reading {
  // A text follows an end-of-text token, as every text does in training.
  if (typeof prompt === 'string')
    return { tokenIds: [tokenizer.endOfText, ...tokenizer.encode(prompt)], ends: new Set() };
  const form = chatFormOf(checkpoint, domain);
  if (form === null)
    throw new TrainerError(
      'BAD_INPUT',
      `domain ${config.data.domains[domain]} has no template for questions`,
    );
  return form(prompt, tokenizer);
}

/** Returns all pieces that `generate` yields, joined. */
export function generateText(inference: Inference, options: GenerateOptions): string {
  return [...generate(inference, options)].join('');
}
