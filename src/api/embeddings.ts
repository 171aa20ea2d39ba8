import { endianness } from 'node:os';
import { z } from 'zod';
import { TrainerError } from '../errors.js';
import { invalid } from './api-error.js';
import { ignoredFields, type RequestPrompt, refusalOf } from './completion-request.js';
import type { CompletionContext } from './completions.js';
import type { Job } from './scheduler.js';
import type { ServedModels } from './served-models.js';
import { promptSchema, promptsOf } from './text-request.js';

// Shapes: S positions, d hidden size.

export interface EmbeddingRequest {
  /** Model as the caller named it. */
  readonly model: string;
  readonly domain: number;
  /** At most as long as the window, each with at least one token of its own. */
  readonly inputs: readonly RequestPrompt[];
  readonly isBase64: boolean;
}

const ignored = { user: ignoredFields.user, dimensions: z.null().optional() };
const bodySchema = z.strictObject({
  model: z.string(),
  domain: z.string().nullish(),
  input: promptSchema,
  encoding_format: z.enum(['float', 'base64']).nullish(),
  ...ignored,
});

/**
 * Checks the body of `POST /v1/embeddings`.
 *
 * @throws ApiError 400 naming the field, 404 for an unknown model
 */
export async function readEmbeddingRequest(
  body: unknown,
  { models, tokenizer, seqLen }: CompletionContext & { readonly models: ServedModels },
): Promise<EmbeddingRequest> {
  const parsed = bodySchema.safeParse(body);
  if (!parsed.success) throw refusalOf(parsed.error, ignored);
  const { model, domain, input, encoding_format } = parsed.data;
  const domainId = models.domainOf(model, domain ?? null);
  const inputs = await promptsOf(input, tokenizer, seqLen, 'input');
  for (const [i, { tokenIds, numImplicit }] of inputs.entries()) {
    if (tokenIds.length === numImplicit) throw invalid('input', `text ${i} is empty`);
    if (tokenIds.length > seqLen)
      throw invalid(
        'input',
        `text ${i} has ${tokenIds.length - numImplicit} tokens: at most ${seqLen - numImplicit} are read`,
        'context_length_exceeded',
      );
  }
  return { model, domain: domainId, inputs, isBase64: encoding_format === 'base64' };
}

/**
 * Answers a request for embeddings.
 *
 * @param signal as for `complete`
 * @throws ApiError as `Scheduler.submit`; TrainerError `NOT_FINITE` if the model gives NaN
 */
export async function embed(
  { model, domain, inputs, isBase64 }: EmbeddingRequest,
  { scheduler, metrics }: CompletionContext,
  signal: AbortSignal,
): Promise<Response> {
  const jobs: Job[] = [];
  const vectors = inputs.map(
    ({ tokenIds, numImplicit }) =>
      new Promise<Float32Array>((resolve, reject) => {
        const meter = metrics.beginText();
        const read = (hiddenSD: Float32Array) => {
          meter.read(tokenIds.length);
          const width = hiddenSD.length / tokenIds.length;
          resolve(embeddingOf(hiddenSD.subarray(numImplicit * width), width));
        };
        jobs.push({ tokenIds, domain, maxTokens: 0, signal, read, next: () => null, end: reject });
      }),
  );
  // Texts of similar lengths are read together, as shorter ones are padded to the longest.
  scheduler.submit(jobs.sort((a, b) => a.tokenIds.length - b.tokenIds.length));
  const encode = isBase64 ? base64Of : (vector: Float32Array) => [...vector];
  const data = (await Promise.all(vectors)).map((vector, index) => ({
    object: 'embedding',
    index,
    embedding: encode(vector),
  }));
  const numTokens = inputs.reduce((sum, { tokenIds, numImplicit }) => sum + tokenIds.length - numImplicit, 0);
  return Response.json({
    object: 'list',
    data,
    model,
    usage: { prompt_tokens: numTokens, total_tokens: numTokens },
  });
}

/** Returns the mean of hidden states, [S, d] -> [d], divided by its L2 norm. */
function embeddingOf(hiddenSD: Float32Array, d: number): Float32Array {
  const sumD = new Float64Array(d);
  for (let i = 0; i < hiddenSD.length; i++) sumD[i % d]! += hiddenSD[i]!;
  const norm = Math.sqrt(sumD.reduce((sum, value) => sum + value * value, 0));
  if (!Number.isFinite(norm))
    throw new TrainerError('NOT_FINITE', 'the model gives NaN: its weights are of no use');
  return Float32Array.from(sumD, (value) => value / norm);
}

/** Returns the base64 of little-endian float32 values, the form that OpenAI's clients request. */
function base64Of(vector: Float32Array): string {
  const bytes = Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength);
  return (endianness() === 'LE' ? bytes : bytes.swap32()).toString('base64');
}
