import type { Tokenizer } from '../data/tokenizer/tokenizer.js';
import { logSumExp } from '../inference/log-likelihood.js';
import { likeliest } from '../inference/sampling.js';

/** `logprobs` of OpenAI's completions. */
export interface LogProbs {
  readonly tokens: string[];
  /** Natural logarithms; null for the first token of a prompt of token ids, which follows nothing. */
  readonly token_logprobs: (number | null)[];
  /** The likeliest tokens and the token itself, by text; null where `token_logprobs` is. */
  readonly top_logprobs: (Record<string, number> | null)[];
  /** Start of each token in the text, in UTF-16 units. */
  readonly text_offset: number[];
}

/** Collects the log-probabilities of a text, token by token. They are the model's own, before sampling. */
export class TokenLog {
  readonly #utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
  #offset = 0;
  #entries = empty();

  /** @param numTop likeliest tokens to name at each place */
  constructor(
    private readonly tokenizer: Tokenizer,
    private readonly numTop: number,
  ) {}

  /**
   * @param logits of this place; null if nothing comes before the token
   * @param isGiven whether the text shows a special token by its name, as that of a prompt does
   */
  add(tokenId: number, logits: Float32Array | null, isGiven: boolean): void {
    const { tokens, token_logprobs, top_logprobs, text_offset } = this.#entries;
    tokens.push(tokenName(this.tokenizer, tokenId));
    text_offset.push(this.#offset);
    this.#offset += this.#utf8.decode(this.tokenizer.bytes([tokenId], isGiven), { stream: true }).length;
    if (logits === null) {
      token_logprobs.push(null);
      top_logprobs.push(null);
      return;
    }
    const logSum = logSumExp(logits);
    const top = this.numTop === 0 ? [] : likeliest(logits, Math.min(this.numTop, logits.length));
    token_logprobs.push(logits[tokenId]! - logSum);
    top_logprobs.push(
      Object.fromEntries(
        [...top, tokenId].map((id) => [tokenName(this.tokenizer, id), logits[id]! - logSum]),
      ),
    );
  }

  /** Returns the tokens since the last call. */
  take(): LogProbs {
    const entries = this.#entries;
    this.#entries = empty();
    return entries;
  }
}

/** Names a token uniquely: `bytes:\xe4` for a part of a character, `token_id:7` for an id without text. */
export function tokenName(tokenizer: Tokenizer, tokenId: number): string {
  const bytes = tokenizer.bytes([tokenId], true);
  if (bytes.length === 0) return `token_id:${tokenId}`;
  try {
    return new TextDecoder('utf-8', { ignoreBOM: true, fatal: true }).decode(bytes);
  } catch {
    return `bytes:${Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}`;
  }
}

function empty(): LogProbs {
  return { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] };
}
