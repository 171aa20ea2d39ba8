import type { LoggedToken, NamedLogProb } from './token-log.js';
import type { TokenRoutes } from './token-routes.js';

/** A choice of an answer or, in a stream, the next part of one. */
export interface Piece {
  readonly text: string;
  /** Null unless the request asks for log-probabilities. */
  readonly logged: readonly LoggedToken[] | null;
  /** Null unless the request asks for routes. */
  readonly routes: readonly TokenRoutes[] | null;
  /** Null in every part of a stream but the last. */
  readonly finishReason: 'stop' | 'length' | null;
}

/** How an endpoint of OpenAI's API presents an answer. */
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
  choice: ({ text, logged, finishReason, routes }) => ({
    message: { role: 'assistant', content: text, refusal: null },
    logprobs: logged && chatLogProbs(logged),
    finish_reason: finishReason,
    ...routesOf(routes),
  }),
  delta: ({ text, logged, finishReason, routes }, isFirst) => ({
    delta: { ...(isFirst && { role: 'assistant' }), content: text },
    logprobs: logged && chatLogProbs(logged),
    finish_reason: finishReason,
    ...routesOf(routes),
  }),
};

function textOf({ text, logged, finishReason, routes }: Piece): object {
  return {
    text,
    logprobs: logged && textLogProbs(logged),
    finish_reason: finishReason,
    ...routesOf(routes),
  };
}

/** Builds `logprobs` of completions, in columns; the token itself is always among the likeliest ones. */
function textLogProbs(logged: readonly LoggedToken[]): object {
  return {
    tokens: logged.map(({ token }) => token),
    token_logprobs: logged.map(({ logprob }) => logprob),
    top_logprobs: logged.map(
      ({ token, logprob, top }) =>
        top && Object.fromEntries([...top.map((each) => [each.token, each.logprob]), [token, logprob]]),
    ),
    text_offset: logged.map(({ offset }) => offset),
  };
}

/** Builds `logprobs` of chat completions: a list of generated tokens, which have all been predicted. */
function chatLogProbs(logged: readonly LoggedToken[]): object {
  const shown = ({ token, bytes, logprob }: NamedLogProb | LoggedToken) => ({
    token,
    logprob,
    bytes: bytes.length > 0 ? bytes : null,
  });
  return {
    content: logged.map((each) => ({ ...shown(each), top_logprobs: each.top!.map(shown) })),
    refusal: null,
  };
}

/** Builds the field `routes`, which is left out unless requested, as OpenAI's answers do not have it. */
function routesOf(routes: Piece['routes']): { readonly routes?: Piece['routes'] } {
  return routes === null ? {} : { routes };
}
