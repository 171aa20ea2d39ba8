import { endianness } from 'node:os';
import { z } from 'zod';
import { TrainerError } from '../errors.js';
import { invalid } from './api-error.js';
import { ignoredFields, refusalOf } from './completion-request.js';
import type { CompletionContext } from './completions.js';
import type { Job } from './scheduler.js';
import type { ServedModels } from './served-models.js';
import { promptSchema, promptsOf } from './text-request.js';

// Shapes: S positions, d hidden size.

const ignored = { user: ignoredFields.user, dimensions: z.null().optional() };
const bodySchema = z.strictObject({
  model: z.string(),
  domain: z.string().nullish(),
  input: promptSchema,
  encoding_format: z.enum(['float', 'base64']).nullish(),
  ...ignored,
});

/**
 * Answers `POST /v1/embeddings`: the mean hidden state of each text after the final norm, divided by its L2 norm.
 *
 * @param signal as for `complete`
 * @throws ApiError 400 naming the field, 404 for an unknown model, and as `Scheduler.submit`; TrainerError `NOT_FINITE` if
 *   the model gives NaN
 */
export async function embed(
  body: unknown,
  { models, tokenizer, seqLen, scheduler, metrics }: CompletionContext & { readonly models: ServedModels },
  signal: AbortSignal,
): Promise<Response> {
  const parsed = bodySchema.safeParse(body);
  if (!parsed.success) throw refusalOf(parsed.error, ignored);
  const { model, input, encoding_format } = parsed.data;
  const domain = models.domainOf(model, parsed.data.domain ?? null);
  const inputs = await promptsOf(input, tokenizer, seqLen, 'input');
  const counts = inputs.map(({ tokenIds, numImplicit }) => tokenIds.length - numImplicit);
  for (const [i, count] of counts.entries()) {
    const most = seqLen - inputs[i]!.numImplicit;
    if (count === 0) throw invalid('input', `text ${i} is empty`);
    if (count > most)
      throw invalid(
        'input',
        `text ${i} has ${count} tokens: at most ${most} are read`,
        'context_length_exceeded',
      );
  }
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
  const encode = encoding_format === 'base64' ? base64Of : (vector: Float32Array) => [...vector];
  const data = (await Promise.all(vectors)).map((vector, index) => ({
    object: 'embedding',
    index,
    embedding: encode(vector),
  }));
  const numTokens = counts.reduce((sum, count) => sum + count, 0);
  const usage = { prompt_tokens: numTokens, total_tokens: numTokens };
  return Response.json({ object: 'list', data, model, usage });
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
