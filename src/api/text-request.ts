import { setImmediate } from 'node:timers/promises';
import { z } from 'zod';
import type { Tokenizer } from '../data/tokenizer/tokenizer.js';
import { TEXT } from './answer-form.js';
import { invalid } from './api-error.js';
import {
  assertAnswerFits,
  assertTextFits,
  type CompletionRequest,
  commonFields,
  commonOf,
  encoded,
  ignoredFields,
  MAX_LOGPROBS,
  type RequestPrompt,
  refusalOf,
} from './completion-request.js';
import type { ServedModels } from './served-models.js';

const MAX_PROMPTS = 1024;
const DEFAULT_MAX_TOKENS = 16;

const ignored = { ...ignoredFields, suffix: z.literal('').nullish() };
const tokenId = z.number().int().min(0);
export const promptSchema = z.union(
  [
    z.string(),
    z.array(z.string()).min(1).max(MAX_PROMPTS),
    z.array(tokenId).min(1),
    z.array(z.array(tokenId).min(1)).min(1).max(MAX_PROMPTS),
  ],
  {
    error: `give a text, token ids, or a list of up to ${MAX_PROMPTS} of either; lists are not empty`,
  },
);
const bodySchema = z.strictObject({
  prompt: promptSchema.nullish(),
  max_tokens: z.number().int().min(0).nullish(),
  best_of: z.number().int().nullish(),
  logprobs: z
    .union([z.number().int().min(0).max(MAX_LOGPROBS), z.literal(false).transform(() => null)])
    .nullish(),
  echo: z.boolean().nullish(),
  ...commonFields,
  ...ignored,
});

/**
 * Checks the body of `POST /v1/completions`.
 *
 * @throws ApiError 400 naming the field, 404 for an unknown model
 */
export async function readTextRequest(
  body: unknown,
  { models, tokenizer, seqLen }: { models: ServedModels; tokenizer: Tokenizer; seqLen: number },
): Promise<CompletionRequest> {
  const parsed = bodySchema.safeParse(body);
  if (!parsed.success) throw refusalOf(parsed.error, ignored);
  const given = parsed.data;
  const common = commonOf(given);
  if ((given.best_of ?? common.numChoices) !== common.numChoices)
    throw invalid('best_of', 'only the value of n is possible');
  const domain = models.domainOf(given.model, given.domain ?? null);
  const maxTokens = given.max_tokens ?? DEFAULT_MAX_TOKENS;
  assertAnswerFits(maxTokens, seqLen, 'max_tokens');
  const prompts = await promptsOf(given.prompt ?? '', tokenizer, seqLen, 'prompt');
  const logprobs = given.logprobs ?? null;
  const echo = given.echo ?? false;
  for (const { tokenIds } of prompts) {
    if (echo && logprobs !== null && tokenIds.length > seqLen + 1)
      throw invalid(
        'prompt',
        `${tokenIds.length} tokens: the model sees ${seqLen} at once, log-probabilities go to one more at most`,
        'context_length_exceeded',
      );
  }
  if (maxTokens === 0 && !echo) throw invalid('max_tokens', '0 gives nothing without echo');
  return { ...common, domain, prompts, maxTokens, logprobs, echo, json: false, ends: new Set(), form: TEXT };
}

/** @throws ApiError 400 naming the field */
export function assertKnown(
  tokenIds: readonly number[],
  { vocabSize }: Pick<Tokenizer, 'vocabSize'>,
  field: string,
): void {
  const wrong = tokenIds.find((id) => id >= vocabSize);
  if (wrong !== undefined)
    throw invalid(field, `token id ${wrong}: the model knows ids 0 to ${vocabSize - 1}`);
}

/**
 * Converts texts or token ids to prompts.
 *
 * @throws ApiError 400 naming the field, if a text is far too long or the tokenizer rejects it, or an id is unknown
 */
export async function promptsOf(
  given: z.infer<typeof promptSchema>,
  tokenizer: Tokenizer,
  seqLen: number,
  field: string,
): Promise<RequestPrompt[]> {
  const ofTexts = async (texts: readonly string[]): Promise<RequestPrompt[]> => {
    for (const text of texts) assertTextFits(text, seqLen, field);
    const prompts: RequestPrompt[] = [];
    for (const text of texts) {
      // Other requests get their turn between two texts.
      await setImmediate();
      // A text follows an end-of-text token, as every text does in training.
      const own = encoded(field, () => tokenizer.encode(text));
      prompts.push({ tokenIds: [tokenizer.endOfText, ...own], numImplicit: 1, text });
    }
    return prompts;
  };
  const ofIds = (tokenIds: readonly number[]): RequestPrompt => {
    assertKnown(tokenIds, tokenizer, field);
    return { tokenIds, numImplicit: 0, text: tokenizer.decode(tokenIds, true) };
  };
  if (typeof given === 'string') return ofTexts([given]);
  if (given.every((item) => typeof item === 'string')) return ofTexts(given);
  if (given.every((item) => typeof item === 'number')) return [ofIds(given)];
  return (given as number[][]).map(ofIds);
}
