import { randomInt } from 'node:crypto';
import { z } from 'zod';
import { TrainerError } from '../errors.js';
import type { Sampling } from '../inference/sampling.js';
import type { AnswerForm } from './answer-form.js';
import { type ApiError, invalid } from './api-error.js';

const MAX_CHOICES = 16;
const MAX_STOPS = 16;
const MAX_STOP_LENGTH = 1_000;
const MAX_SEED = 2 ** 48;
/** Maximum number of likeliest tokens that are named at each position. */
export const MAX_LOGPROBS = 20;

/** A prompt as the model reads it. */
export interface RequestPrompt {
  readonly tokenIds: readonly number[];
  /** Tokens at the beginning that were not in the request: the end-of-text token before a text. */
  readonly numImplicit: number;
  /** Text that `echo` repeats. */
  readonly text: string;
}

export interface CompletionRequest {
  /** Model as the caller named it. */
  readonly model: string;
  readonly domain: number;
  readonly prompts: readonly RequestPrompt[];
  readonly maxTokens: number;
  readonly sampling: Sampling;
  /** Number of choices for each prompt. */
  readonly numChoices: number;
  readonly seed: number;
  readonly stops: readonly string[];
  /** Tokens that end a choice, besides the end-of-text token. */
  readonly ends: ReadonlySet<number>;
  /** Number of the likeliest tokens to name at each position; null for no log-probabilities. */
  readonly logprobs: number | null;
  readonly echo: boolean;
  /** Whether each choice is one JSON object. */
  readonly json: boolean;
  /** Whether to report the experts of each token that the model reads. */
  readonly routes: boolean;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly form: AnswerForm;
}

/** Fields that have no effect, or for which only the default is supported. */
export const ignoredFields = {
  user: z.string().nullish(),
  presence_penalty: z.literal(0).nullish(),
  frequency_penalty: z.literal(0).nullish(),
  logit_bias: z.strictObject({}).nullish(),
};

const stopText = z.string().max(MAX_STOP_LENGTH);

/** Fields of every request; `domain`, `top_k`, `repetition_penalty` and `routes` are not OpenAI's. */
export const commonFields = {
  model: z.string(),
  domain: z.string().nullish(),
  temperature: z.number().min(0).max(100).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  top_k: z.number().int().min(-1).nullish(),
  repetition_penalty: z.number().positive().nullish(),
  n: z.number().int().min(1).max(MAX_CHOICES).nullish(),
  stop: z.union([stopText, z.array(stopText).max(MAX_STOPS)]).nullish(),
  routes: z.boolean().nullish(),
  seed: z.number().int().min(-MAX_SEED).max(MAX_SEED).nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.strictObject({ include_usage: z.boolean().optional() }).nullish(),
};

type Common = z.infer<z.ZodObject<typeof commonFields>>;

export function commonOf(
  given: Common,
): Pick<
  CompletionRequest,
  'model' | 'sampling' | 'numChoices' | 'seed' | 'stops' | 'routes' | 'stream' | 'includeUsage'
> {
  const topK = given.top_k ?? -1;
  return {
    model: given.model,
    sampling: {
      temperature: given.temperature ?? 1,
      topK: topK <= 0 ? null : topK,
      topP: given.top_p ?? 1,
      repetitionPenalty: given.repetition_penalty ?? 1,
    },
    numChoices: given.n ?? 1,
    seed: given.seed ?? randomInt(MAX_SEED - 1),
    stops: [given.stop ?? []].flat(),
    routes: given.routes ?? false,
    stream: given.stream ?? false,
    includeUsage: given.stream_options?.include_usage ?? false,
  };
}

/** An answer may fill this many windows of the model, or `LEAST_NEW_TOKENS`, which clients written for larger models ask for. */
const MAX_WINDOWS = 16;
const LEAST_NEW_TOKENS = 1 << 15;
/** Characters of a text for each token of the window, or at least `LEAST_CHARS`, which are encoded in a fifth of a second. */
const CHARS_PER_TOKEN = 32;
const LEAST_CHARS = 1 << 16;

/** @throws ApiError 400 if an answer would hold its place in the batch for too long */
export function assertAnswerFits(maxTokens: number, seqLen: number, field: string): void {
  const most = Math.max(LEAST_NEW_TOKENS, MAX_WINDOWS * seqLen);
  if (maxTokens > most)
    throw invalid(
      field,
      `${maxTokens}: at most ${most} tokens are generated at once`,
      'context_length_exceeded',
    );
}

/** Maximum number of tokens with routes in an answer: each layer of a token takes some hundred bytes. */
const MAX_ROUTED_TOKENS = 10_000;

/** @throws ApiError 400 if the routes of an answer would be too many to hold */
export function assertRoutesFit(request: CompletionRequest, seqLen: number): void {
  if (!request.routes) return;
  const { prompts, numChoices, maxTokens } = request;
  const read = prompts.reduce((sum, { tokenIds }) => sum + Math.min(tokenIds.length, seqLen) + maxTokens, 0);
  const most = Math.max(MAX_ROUTED_TOKENS, 2 * seqLen);
  if (numChoices * read > most)
    throw invalid(
      'routes',
      `routes are returned for at most ${most} tokens, and this request may read ${numChoices * read}: ask for fewer tokens or choices`,
    );
}

/** @throws ApiError 400 for a text far longer than the window: encoding it would keep other requests waiting */
export function assertTextFits({ length }: string, seqLen: number, field: string): void {
  const most = Math.max(LEAST_CHARS, CHARS_PER_TOKEN * seqLen);
  if (length > most)
    throw invalid(
      field,
      `${length} characters: at most ${most} are taken, the model sees ${seqLen} tokens at once`,
      'context_length_exceeded',
    );
}

/** Runs `encode`. @throws ApiError 400 naming the field whose text the tokenizer or a template rejects */
export function encoded<T>(field: string, encode: () => T): T {
  try {
    return encode();
  } catch (error) {
    if (error instanceof TrainerError && error.code === 'BAD_INPUT') throw invalid(field, error.message);
    throw error;
  }
}

/**
 * Returns the error for a body that is refused; it names the first wrong field.
 *
 * @param ignored `ignoredFields` and those of one endpoint
 */
export function refusalOf({ issues }: z.ZodError, ignored: object): ApiError {
  const issue = issues[0]!;
  const [field = ''] = issue.path;
  if (Object.hasOwn(ignored, field)) return invalid(String(field), 'this server does not support it');
  if (issue.code === 'unrecognized_keys')
    return invalid(nameOf([...issue.path, issue.keys[0]!]), 'this server does not have this field');
  return invalid(nameOf(issue.path), issue.message);
}

/** Joins a path as OpenAI does: `messages[0].role`. */
function nameOf(path: readonly PropertyKey[]): string {
  const name = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('');
  return name === '' ? 'body' : name.slice(1);
}
