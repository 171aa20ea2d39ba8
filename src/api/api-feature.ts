import type { HttpFeature } from '@locmoe/logs/http';
import { type Context, Hono, type MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { z } from 'zod';
import type { ApiMetrics, Endpoint } from '../metrics/prometheus/api-metrics.js';
import { ApiError, invalid, outcomeOf } from './api-error.js';
import { readChatRequest } from './chat-request.js';
import { assertRoutesFit, assertTextFits, type CompletionRequest } from './completion-request.js';
import { asApiError, type CompletionContext, complete, streamCompletion } from './completions.js';
import { embed } from './embeddings.js';
import type { ServedModels } from './served-models.js';
import { assertKnown, readTextRequest } from './text-request.js';

export interface ApiOptions extends CompletionContext {
  readonly models: ServedModels;
  /** Time for one request, in seconds. */
  readonly requestTimeoutS: number;
}

/** Maximum size of a request body, in bytes. */
const MAX_BODY_BYTES = 4 << 20;

/**
 * Serves OpenAI's API: `/v1/models`, `/v1/completions`, `/v1/chat/completions`, `/v1/embeddings`; `/health`; and the
 * endpoints by which lm-evaluation-harness uses a server's tokenizer: `/tokenizer_info`, `/tokenize`, `/detokenize`.
 */
export function apiFeature(options: ApiOptions): HttpFeature {
  const { models, tokenizer, scheduler } = options;
  const limited = bodyLimit({
    maxSize: MAX_BODY_BYTES,
    onError: () => new ApiError(413, `the request is larger than ${MAX_BODY_BYTES} bytes`).response,
  });
  const routes = new Hono().onError((error) => asApiError(error).response);
  routes.get('/v1/models', () => Response.json({ object: 'list', data: models.list }));
  routes.get('/v1/models/:id', (c) => Response.json(models.model(c.req.param('id'))));
  const answers = (endpoint: Endpoint, path: string, read: Read) =>
    routes.post(path, counted(options.metrics, endpoint), limited, (c) =>
      answerCompletion(c, endpoint, read, options),
    );
  answers('completions', '/v1/completions', readTextRequest);
  answers('chat', '/v1/chat/completions', readChatRequest);
  routes.post('/v1/embeddings', counted(options.metrics, 'embeddings'), limited, async (c) => {
    const body = await jsonOf(c);
    const { signal, end } = beginCall(c, options.requestTimeoutS);
    return embed(body, options, signal).finally(end);
  });
  routes.get('/tokenizer_info', () => Response.json({ eos_token: tokenizer.endOfTextName }));
  routes.post('/tokenize', limited, async (c) => {
    const { prompt } = await readBody(c, z.object({ prompt: z.string() }));
    assertTextFits(prompt, options.seqLen, 'prompt');
    const tokens = prompt === tokenizer.endOfTextName ? [tokenizer.endOfText] : tokenizer.encode(prompt);
    return Response.json({ tokens: [...tokens], count: tokens.length, max_model_len: options.seqLen });
  });
  routes.post('/detokenize', limited, async (c) => {
    const { tokens } = await readBody(c, z.object({ tokens: z.array(z.number().int().min(0)) }));
    assertKnown(tokens, tokenizer, 'tokens');
    return Response.json({ prompt: tokenizer.decode(tokens, true) });
  });
  routes.all('*', (c) => {
    throw new ApiError(404, `there is no ${c.req.method} ${c.req.path} here`);
  });
  const open = new Hono().get('/health', () => {
    const { closing, ...load } = scheduler.state;
    return Response.json({ status: closing ? 'closing' : 'ok', ...load }, { status: closing ? 503 : 200 });
  });
  return { routes, open };
}

type Read = (body: unknown, options: ApiOptions) => CompletionRequest | Promise<CompletionRequest>;

const EVENT_STREAM = /^text\/event-stream/;

/** Counts a request by the status of its answer; streams count themselves, as their status is sent before their end. */
function counted(metrics: ApiMetrics, endpoint: Endpoint): MiddlewareHandler {
  return async (c, next) => {
    await next();
    if (!EVENT_STREAM.test(c.res.headers.get('Content-Type') ?? ''))
      metrics.ended(endpoint, outcomeOf(c.res.status));
  };
}

async function answerCompletion(
  c: Context,
  endpoint: Endpoint,
  read: Read,
  options: ApiOptions,
): Promise<Response> {
  const request = await read(await jsonOf(c), options);
  assertRoutesFit(request, options.seqLen);
  const { signal, gone, end } = beginCall(c, options.requestTimeoutS);
  try {
    if (request.stream)
      return streamCompletion(request, options, signal, {
        onGone: gone,
        onEnd(error) {
          end();
          options.metrics.ended(endpoint, outcomeOf(error?.status ?? 200));
        },
      });
    return await complete(request, options, signal).finally(end);
  } catch (error) {
    end();
    throw error;
  }
}

/** Begins the time of a request: its signal is aborted when the time is over or the caller disconnects. */
function beginCall(c: Context, timeoutS: number) {
  const call = new AbortController();
  const gone = () => call.abort(new ApiError(499, 'the caller has gone'));
  const timer = setTimeout(() => {
    call.abort(
      new ApiError(504, `not finished within ${timeoutS} s; ask for fewer tokens, or later`, {
        code: 'timeout',
      }),
    );
  }, timeoutS * 1000);
  const { signal } = c.req.raw;
  signal.addEventListener('abort', gone, { once: true });
  if (signal.aborted) gone();
  const end = () => {
    clearTimeout(timer);
    signal.removeEventListener('abort', gone);
  };
  return { signal: call.signal, gone, end };
}

async function readBody<T>(c: Context, schema: z.ZodType<T>): Promise<T> {
  const parsed = schema.safeParse(await jsonOf(c));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw invalid(issue.path.join('.') || 'body', issue.message);
}

async function jsonOf(c: Context): Promise<unknown> {
  try {
    return await c.req.json();
  } catch {
    throw invalid('body', 'not JSON');
  }
}
