import { randomUUID } from 'node:crypto';
import { TrainerError } from '../errors.js';
import { cutPrompt } from '../inference/cut-prompt.js';
import type { Piece } from './answer-form.js';
import { ApiError, invalid } from './api-error.js';
import { Choice, type ModelContext } from './choice.js';
import type { CompletionRequest } from './completion-request.js';
import type { Scheduler } from './scheduler.js';

/** A stream is closed once its caller leaves this many events unread. */
const MAX_UNREAD_EVENTS = 10_000;

export interface CompletionContext extends ModelContext {
  readonly scheduler: Scheduler;
}

/**
 * Answers a completion request.
 *
 * @param signal aborted when the caller disconnects or the time is over; its reason is then thrown
 * @throws ApiError as `Scheduler.submit`
 */
export async function complete(
  request: CompletionRequest,
  context: CompletionContext,
  signal: AbortSignal,
): Promise<Response> {
  const pieces = request.prompts.flatMap(() => Array.from({ length: request.numChoices }, (): Piece[] => []));
  const choices = choicesOf(request, context, signal, (index, piece) => pieces[index]!.push(piece));
  context.scheduler.submit(choices);
  await Promise.all(choices.map(({ finished }) => finished));
  const { form } = request;
  return Response.json({
    ...headOf(request, form.object),
    ...warningsOf(request, context),
    choices: pieces.map((ofChoice, index) => ({ index, ...form.choice(joined(ofChoice)) })),
    usage: usageOf(request, choices),
  });
}

/**
 * Answers a completion request by server-sent events, which end with `[DONE]`; an error is sent as an event, too.
 *
 * @param onGone called if the caller disconnects before the end
 * @param onEnd called at the end in any case, with the error that ended it early
 */
export function streamCompletion(
  request: CompletionRequest,
  context: CompletionContext,
  signal: AbortSignal,
  { onGone, onEnd }: { readonly onGone: () => void; readonly onEnd: (error: ApiError | null) => void },
): Response {
  const { form } = request;
  const head = headOf(request, form.chunkObject);
  const begun = new Set<number>();
  const utf8 = new TextEncoder();
  let gone = false;
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  const send = (data: object | string) => {
    const event = typeof data === 'string' ? data : JSON.stringify(data);
    if (gone || controller === undefined) return;
    controller.enqueue(utf8.encode(`data: ${event}\n\n`));
    if (-(controller.desiredSize ?? 0) > MAX_UNREAD_EVENTS) {
      gone = true;
      controller.error(new Error('the caller does not read'));
      onGone();
    }
  };
  const choices = choicesOf(request, context, signal, (index, piece) => {
    const isFirst = !begun.has(index);
    const warnings = isFirst ? warningsOf(request, context) : {};
    send({ ...head, ...warnings, choices: [{ index, ...form.delta(piece, isFirst) }] });
    begun.add(index);
  });
  // The choices are submitted before the response begins, so that a full queue is answered with its own status.
  context.scheduler.submit(choices);
  const finish = async () => {
    try {
      await Promise.all(choices.map(({ finished }) => finished));
      if (request.includeUsage) send({ ...head, choices: [], usage: usageOf(request, choices) });
      send('[DONE]');
      onEnd(null);
    } catch (error) {
      const known = asApiError(error);
      send(known.body);
      onEnd(known);
    }
    if (!gone) controller?.close();
  };
  const body = new ReadableStream<Uint8Array>({
    start(started) {
      controller = started;
      void finish();
    },
    cancel() {
      gone = true;
      onGone();
    },
  });
  return new Response(body, {
    headers: { 'Content-Type': 'text/event-stream; charset=utf-8', 'Cache-Control': 'no-cache' },
  });
}

/** Converts an error for the caller; the text of an internal one goes to the server's log alone. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  // The tokenizer rejects some texts.
  if (error instanceof TrainerError && error.code === 'BAD_INPUT') return invalid('prompt', error.message);
  console.error('locmoe: api:', error);
  return new ApiError(500, 'the server failed; its log says why', { code: 'internal' });
}

/** Creates a choice for each prompt and index, in the order of `choices[].index`. */
function choicesOf(
  request: CompletionRequest,
  model: ModelContext,
  signal: AbortSignal,
  onPiece: (index: number, piece: Piece) => void,
): Choice[] {
  const { numChoices } = request;
  return request.prompts.flatMap((prompt, p) =>
    Array.from({ length: numChoices }, (_, index) => {
      const emit = (piece: Piece) => onPiece(p * numChoices + index, piece);
      return new Choice({ ...model, request, prompt, index, signal, onPiece: emit });
    }),
  );
}

function headOf({ model, form }: CompletionRequest, object: string): object {
  return {
    id: `${form.id}-${randomUUID()}`,
    object,
    created: Math.floor(Date.now() / 1000),
    model,
  };
}

/** Warnings about prompts that are read only in part. Clients of OpenAI's API ignore fields that they do not know. */
function warningsOf(
  { prompts, echo, logprobs }: CompletionRequest,
  { seqLen }: Pick<CompletionContext, 'seqLen'>,
): { readonly warnings?: readonly string[] } {
  // With log-probabilities, all tokens of the prompt are read.
  if (echo && logprobs !== null) return {};
  const warnings = new Set(prompts.flatMap(({ tokenIds }) => cutPrompt(tokenIds.length, seqLen) ?? []));
  return warnings.size === 0 ? {} : { warnings: [...warnings] };
}

function usageOf({ prompts }: CompletionRequest, choices: readonly Choice[]): object {
  const sum = (counts: readonly number[]) => counts.reduce((total, count) => total + count, 0);
  const promptTokens = sum(prompts.map(({ tokenIds, numImplicit }) => tokenIds.length - numImplicit));
  const completionTokens = sum(choices.map(({ numGenerated }) => numGenerated));
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
  };
}

function joined(pieces: readonly Piece[]): Piece {
  return {
    text: pieces.map(({ text }) => text).join(''),
    logged: pieces[0]!.logged && pieces.flatMap(({ logged }) => logged ?? []),
    routes: pieces[0]!.routes && pieces.flatMap(({ routes }) => routes ?? []),
    finishReason: pieces.at(-1)!.finishReason,
  };
}
