import type { Tokenizer } from './tokenizer.js';

/**
 * Returns the text of each token. If a character spans several tokens, the last one has it, and the others are empty.
 */
export function textsOf(tokenizer: Pick<Tokenizer, 'bytes'>, ids: readonly number[]): string[] {
  const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
  return ids.map((id) => utf8.decode(tokenizer.bytes([id], true), { stream: true }));
}
