import type { LogProbs } from './token-log.js';
import type { TokenRoutes } from './token-routes.js';

/** A choice of an answer, or a further part of one. */
export interface Piece {
  readonly text: string;
  readonly logprobs: LogProbs | null;
  /** Null if they are not wanted. */
  readonly routes: readonly TokenRoutes[] | null;
  /** Null in a part before the last. */
  readonly finishReason: 'stop' | 'length' | null;
}

/** How an endpoint of OpenAI's shows an answer. */
export interface AnswerForm {
  /** Prefix of the ids. */
  readonly id: string;
  readonly object: string;
  /** `object` of a part in a stream. */
  readonly chunkObject: string;
  /** Returns a choice, without its index. */
  choice(whole: Piece): object;
  /** Returns a part of a choice in a stream, without its index. */
  delta(piece: Piece, isFirst: boolean): object;
}

/** `/v1/completions` */
export const TEXT: AnswerForm = {
  id: 'cmpl',
  object: 'text_completion',
  chunkObject: 'text_completion',
  choice: textOf,
  delta: textOf,
};

/** `/v1/chat/completions` */
export const CHAT: AnswerForm = {
  id: 'chatcmpl',
  object: 'chat.completion',
  chunkObject: 'chat.completion.chunk',
  choice: ({ text, finishReason, routes }) => ({
    message: { role: 'assistant', content: text, refusal: null },
    logprobs: null,
    finish_reason: finishReason,
    ...routesOf(routes),
  }),
  delta: ({ text, finishReason, routes }, isFirst) => ({
    delta: { ...(isFirst && { role: 'assistant' }), content: text },
    logprobs: null,
    finish_reason: finishReason,
    ...routesOf(routes),
  }),
};

function textOf({ text, logprobs, finishReason, routes }: Piece): object {
  return { text, logprobs, finish_reason: finishReason, ...routesOf(routes) };
}

/** OpenAI's answers have no such field, so it is left out where nobody asks for it. */
function routesOf(routes: Piece['routes']): { readonly routes?: Piece['routes'] } {
  return routes === null ? {} : { routes };
}
