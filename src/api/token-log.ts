import type { Tokenizer } from '../data/tokenizer/tokenizer.js';
import { logSumExp } from '../inference/log-likelihood.js';
import { likeliest } from '../inference/sampling.js';

/** A token by name and bytes, with the natural logarithm of its probability. */
export interface NamedLogProb {
  readonly token: string;
  /** Bytes of the token in the text, in UTF-8; none for a token without text. */
  readonly bytes: readonly number[];
  readonly logprob: number;
}

/** A position in a text whose log-probabilities are wanted. */
export interface LoggedToken extends Omit<NamedLogProb, 'logprob'> {
  /** Null for the first token of a prompt of token ids, which has no context. */
  readonly logprob: number | null;
  /** The likeliest tokens at this position, best first; null where `logprob` is. */
  readonly top: readonly NamedLogProb[] | null;
  /** Start of the token in the text, in UTF-16 units. */
  readonly offset: number;
}

/** Collects the log-probabilities of a text, token by token. They are the model's own, before sampling. */
export class TokenLog {
  readonly #utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
  #offset = 0;
  #tokens: LoggedToken[] = [];

  /** @param numTop number of the likeliest tokens to name at each position */
  constructor(
    private readonly tokenizer: Tokenizer,
    private readonly numTop: number,
  ) {}

  /**
   * @param logits the logits at this position; null if nothing comes before the token
   * @param isGiven true for a token of the prompt, where the text shows special tokens by name
   */
  add(tokenId: number, logits: Float32Array | null, isGiven: boolean): void {
    const bytes = this.tokenizer.bytes([tokenId], isGiven);
    const logSum = logits === null ? 0 : logSumExp(logits);
    const top = logits === null ? [] : likeliest(logits, Math.min(this.numTop, logits.length));
    this.#tokens.push({
      token: tokenName(this.tokenizer, tokenId),
      bytes: [...bytes],
      logprob: logits && logits[tokenId]! - logSum,
      top:
        logits &&
        Array.from(top, (id) => ({
          token: tokenName(this.tokenizer, id),
          bytes: [...this.tokenizer.bytes([id], isGiven)],
          logprob: logits[id]! - logSum,
        })),
      offset: this.#offset,
    });
    this.#offset += this.#utf8.decode(bytes, { stream: true }).length;
  }

  /** Returns the tokens since the last call. */
  take(): LoggedToken[] {
    return this.#tokens.splice(0);
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
