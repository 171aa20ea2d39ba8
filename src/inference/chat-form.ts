import path from 'node:path';
import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { type ChatTemplate, encodeByTemplate, readChatTemplate } from '../data/chat-template.js';
import { encodeMessages, type Message, templateOf } from '../data/template.js';
import type { Tokenizer } from '../data/tokenizer/tokenizer.js';

/** A conversation as tokens for the model, whose answer ends with one of `ends`. */
export interface Reading {
  readonly tokenIds: readonly number[];
  /** Tokens that end the answer, besides the end-of-text token. */
  readonly ends: ReadonlySet<number>;
}

/**
 * Converts a conversation to tokens.
 *
 * @throws TrainerError `BAD_INPUT` if the tokenizer or the template rejects it
 */
export type ChatForm = (messages: readonly Message[], tokenizer: Tokenizer) => Reading;

/**
 * Returns the form of a domain fine-tuned with answers, or of a HuggingFace folder with a chat template; else null.
 *
 * @throws TrainerError `BAD_INPUT` if a template is broken
 */
export function chatFormOf({ manifest, tokenizerFile }: Checkpoint, domain: number): ChatForm | null {
  const own = templateOf(manifest.config.data, domain);
  if (own !== null)
    return (messages, tokenizer) => ({
      tokenIds: encodeMessages(messages, own, tokenizer).ids,
      ends: new Set(),
    });
  const published = readChatTemplate(path.dirname(tokenizerFile));
  if (published === null) return null;
  return (messages, tokenizer) => ({
    tokenIds: encodeByTemplate(messages, published, tokenizer),
    ends: endsOf(published, tokenizer),
  });
}

/** Returns the tokens that end an answer; the end of a turn is often a token that only one file names. */
function endsOf({ ends, tokens }: ChatTemplate, { specialTokens }: Tokenizer): ReadonlySet<number> {
  const named = specialTokens.filter(({ content }) => content === tokens.eos_token);
  return new Set([...ends, ...named.map(({ id }) => id)]);
}
