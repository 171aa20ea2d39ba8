// The server's API, as this page uses it (docs/inference.md).

/** A model of `/v1/models`: one domain of a checkpoint. */
export interface Model {
  readonly id: string;
  readonly domain: string;
  /** Whether the model takes a conversation; otherwise it continues a text. */
  readonly chat: boolean;
  /** Prompts with which one may begin. */
  readonly examples: readonly string[];
  /** Experts that the domain may use. */
  readonly experts: readonly number[];
  /** Indices of the layers with experts. */
  readonly sparse_layers: readonly number[];
  readonly max_model_len: number;
}

export interface Message {
  readonly role: 'user' | 'assistant';
  readonly content: string;
}

/** The input of the model: a text to continue, or the turns of a conversation. */
export type Context = string | readonly Message[];

/** A choice of an expert in `routes`. */
export interface RouteChoice {
  readonly expert: number;
  readonly weight: number;
  readonly outcome: string;
  readonly score: number | null;
}

/** A token that the model has read. */
export interface RouteToken {
  readonly token: string;
  readonly id: number;
  readonly layers: readonly { readonly layer: number; readonly choices: readonly RouteChoice[] }[];
}

/** A part of an answer. */
export interface Part {
  readonly text: string;
  readonly routes: readonly RouteToken[];
  readonly finishReason: 'stop' | 'length' | null;
  readonly warnings: readonly string[];
  /** Number of tokens of the whole answer, in its last part; null in earlier parts. */
  readonly numTokens: number | null;
}

export interface Asked {
  readonly model: Model;
  readonly context: Context;
  readonly maxTokens: number;
  readonly temperature: number;
  readonly routes: boolean;
}

/** The server requires a token, or rejects the given one. */
export class TokenNeeded extends Error {}

const TOKEN_KEY = 'locmoe-token';
const ROOT = new URL('../../', import.meta.url);

/** Keeps the server's token in this tab. */
export function keepToken(token: string): void {
  sessionStorage.setItem(TOKEN_KEY, token);
}

export function hasToken(): boolean {
  return sessionStorage.getItem(TOKEN_KEY) !== null;
}

/** @throws TokenNeeded if the server requires a token, or rejects the given one */
export async function models(): Promise<readonly Model[]> {
  const { data } = await (await call('v1/models', {})).json();
  return data;
}

/** Returns the name of the end-of-text token. */
export async function endOfTextName(): Promise<string> {
  return (await (await call('tokenizer_info', {})).json()).eos_token;
}

/**
 * Requests an answer, and yields its parts as they are generated.
 *
 * @param signal ends the request; the server then frees its place
 */
export async function* answer(asked: Asked, signal: AbortSignal): AsyncGenerator<Part> {
  const { model, context, maxTokens, temperature, routes } = asked;
  const isText = typeof context === 'string';
  const body = JSON.stringify({
    model: model.id,
    ...(isText ? { prompt: context } : { messages: context }),
    max_tokens: maxTokens,
    temperature,
    routes,
    stream: true,
    stream_options: { include_usage: true },
  });
  const path = isText ? 'v1/completions' : 'v1/chat/completions';
  const response = await call(path, { method: 'POST', body, signal });
  for await (const event of eventsOf(response.body!)) {
    if (event.error) throw new Error(event.error.message);
    const [choice] = event.choices;
    yield {
      text: choice?.text ?? choice?.delta?.content ?? '',
      routes: choice?.routes ?? [],
      finishReason: choice?.finish_reason ?? null,
      warnings: event.warnings ?? [],
      numTokens: event.usage?.completion_tokens ?? null,
    };
  }
}

async function call(path: string, options: RequestInit): Promise<Response> {
  const token = sessionStorage.getItem(TOKEN_KEY);
  const headers = { 'Content-Type': 'application/json', ...(token && { Authorization: `Bearer ${token}` }) };
  const response = await fetch(new URL(path, ROOT), { ...options, headers });
  if (response.ok) return response;
  const said = await response.json().catch(() => null);
  const message = said?.error?.message ?? `the server answers ${response.status}`;
  throw response.status === 401 ? new TokenNeeded(message) : new Error(message);
}

interface AnswerEvent {
  readonly choices: readonly {
    readonly text?: string;
    readonly delta?: { readonly content: string };
    readonly routes?: readonly RouteToken[];
    readonly finish_reason: 'stop' | 'length' | null;
  }[];
  readonly warnings?: readonly string[];
  readonly usage?: { readonly completion_tokens: number };
  readonly error?: { readonly message: string };
}

/** Yields server-sent events up to `[DONE]`. @throws Error if the connection ends before */
async function* eventsOf(body: ReadableStream<Uint8Array>): AsyncGenerator<AnswerEvent> {
  const reader = body.getReader();
  const utf8 = new TextDecoder();
  let rest = '';
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    const events = (rest + utf8.decode(read.value, { stream: true })).split('\n\n');
    rest = events.pop()!;
    for (const event of events) {
      const data = event.slice('data: '.length);
      if (data === '[DONE]') return;
      yield JSON.parse(data);
    }
  }
  throw new Error('the connection to the server has ended');
}
