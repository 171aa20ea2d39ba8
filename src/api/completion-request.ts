import { randomInt } from 'node:crypto';
import { z } from 'zod';
import type { Tokenizer } from '../data/tokenizer.js';
import type { Sampling } from '../inference/sampling.js';
import { type ApiError, invalid } from './api-error.js';
import type { ServedModels } from './served-models.js';

const MAX_PROMPTS = 1024;
const MAX_CHOICES = 16;
const MAX_STOPS = 16;
const MAX_STOP_LENGTH = 1_000;
const MAX_LOGPROBS = 20;
const MAX_SEED = 2 ** 48;

/** Fields that change nothing here, or whose default alone is possible. */
const ignored = {
  user: z.string().nullish(),
  suffix: z.literal('').nullish(),
  presence_penalty: z.literal(0).nullish(),
  frequency_penalty: z.literal(0).nullish(),
  logit_bias: z.strictObject({}).nullish(),
};

const stopText = z.string().max(MAX_STOP_LENGTH);
const tokenId = z.number().int().min(0);
const bodySchema = z.strictObject({
  model: z.string(),
  prompt: z
    .union(
      [
        z.string(),
        z.array(z.string()).min(1).max(MAX_PROMPTS),
        z.array(tokenId).min(1),
        z.array(z.array(tokenId).min(1)).min(1).max(MAX_PROMPTS),
      ],
      {
        error: `give a text, token ids, or a list of up to ${MAX_PROMPTS} of either; lists are not empty`,
      },
    )
    .nullish(),
  domain: z.string().nullish(),
  max_tokens: z.number().int().min(0).nullish(),
  temperature: z.number().min(0).max(100).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  top_k: z.number().int().min(-1).nullish(),
  repetition_penalty: z.number().positive().nullish(),
  n: z.number().int().min(1).max(MAX_CHOICES).nullish(),
  best_of: z.number().int().nullish(),
  stop: z.union([stopText, z.array(stopText).max(MAX_STOPS)]).nullish(),
  seed: z.number().int().min(-MAX_SEED).max(MAX_SEED).nullish(),
  logprobs: z
    .union([z.number().int().min(0).max(MAX_LOGPROBS), z.literal(false).transform(() => null)])
    .nullish(),
  echo: z.boolean().nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.strictObject({ include_usage: z.boolean().optional() }).nullish(),
  ...ignored,
});

/** A prompt as the model reads it. */
export interface RequestPrompt {
  readonly tokenIds: readonly number[];
  /** Tokens at the beginning that the caller did not give: the end-of-text token in front of a text. */
  readonly numImplicit: number;
  /** For `echo`. */
  readonly text: string;
}

/** A checked request. */
export interface CompletionRequest {
  /** As it was asked for. */
  readonly model: string;
  readonly domain: number;
  readonly prompts: readonly RequestPrompt[];
  readonly maxTokens: number;
  readonly sampling: Sampling;
  /** Choices of each prompt. */
  readonly numChoices: number;
  readonly seed: number;
  readonly stops: readonly string[];
  /** Likeliest tokens to name at each place; null for no log-probabilities. */
  readonly logprobs: number | null;
  readonly echo: boolean;
  readonly stream: boolean;
  readonly includeUsage: boolean;
}

/**
 * Checks the body of `POST /v1/completions`. OpenAI's fields, and `domain`, `top_k` and `repetition_penalty`.
 *
 * @throws ApiError 400 naming the field, 404 for an unknown model
 */
export function readCompletionRequest(
  body: unknown,
  { models, tokenizer, seqLen }: { models: ServedModels; tokenizer: Tokenizer; seqLen: number },
): CompletionRequest {
  const parsed = bodySchema.safeParse(body);
  if (!parsed.success) throw refusalOf(parsed.error);
  const given = parsed.data;
  const numChoices = given.n ?? 1;
  if ((given.best_of ?? numChoices) !== numChoices)
    throw invalid('best_of', 'only the value of n is possible');
  const domain = models.domainOf(given.model, given.domain ?? null);
  const prompts = promptsOf(given.prompt ?? '', tokenizer);
  const logprobs = given.logprobs ?? null;
  const echo = given.echo ?? false;
  for (const { tokenIds } of prompts) {
    const wrong = tokenIds.find((id) => id >= tokenizer.vocabSize);
    if (wrong !== undefined)
      throw invalid('prompt', `token id ${wrong}: the model knows ids 0 to ${tokenizer.vocabSize - 1}`);
    if (echo && logprobs !== null && tokenIds.length > seqLen + 1)
      throw invalid(
        'prompt',
        `${tokenIds.length} tokens: the model sees ${seqLen} at once, log-probabilities go to one more at most`,
        'context_length_exceeded',
      );
  }
  const maxTokens = given.max_tokens ?? 16;
  if (maxTokens === 0 && !echo) throw invalid('max_tokens', '0 gives nothing without echo');
  const topK = given.top_k ?? -1;
  return {
    model: given.model,
    domain,
    prompts,
    maxTokens,
    sampling: {
      temperature: given.temperature ?? 1,
      topK: topK <= 0 ? null : topK,
      topP: given.top_p ?? 1,
      repetitionPenalty: given.repetition_penalty ?? 1,
    },
    numChoices,
    seed: given.seed ?? randomInt(MAX_SEED - 1),
    stops: [given.stop ?? []].flat(),
    logprobs,
    echo,
    stream: given.stream ?? false,
    includeUsage: given.stream_options?.include_usage ?? false,
  };
}

type GivenPrompt = NonNullable<z.infer<typeof bodySchema>['prompt']>;

function promptsOf(given: GivenPrompt, tokenizer: Tokenizer): RequestPrompt[] {
  const ofText = (text: string): RequestPrompt => ({
    // In training every text follows an end-of-text token.
    tokenIds: [tokenizer.endOfText, ...tokenizer.encode(text)],
    numImplicit: 1,
    text,
  });
  const ofIds = (tokenIds: readonly number[]): RequestPrompt => ({
    tokenIds,
    numImplicit: 0,
    text: tokenizer.decode(tokenIds, true),
  });
  if (typeof given === 'string') return [ofText(given)];
  if (given.every((item) => typeof item === 'string')) return given.map(ofText);
  if (given.every((item) => typeof item === 'number')) return [ofIds(given)];
  return (given as number[][]).map(ofIds);
}

function refusalOf({ issues: [issue] }: z.ZodError): ApiError {
  if (issue.code === 'unrecognized_keys' && issue.path.length === 0)
    return invalid(issue.keys[0], 'this server does not have this field');
  const param = String(issue.path[0] ?? 'body');
  if (Object.hasOwn(ignored, param)) return invalid(param, 'this server does not support it');
  return invalid(param, issue.message);
}
