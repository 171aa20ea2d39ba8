import type { Tokenizer } from 'locmoe/internal/data/tokenizer/tokenizer';

/** Text of each token; empty where a character goes on in the next one, which has all of it. */
export function textsOf(tokenizer: Pick<Tokenizer, 'bytes'>, ids: readonly number[]): string[] {
  const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
  return ids.map((id) => utf8.decode(tokenizer.bytes([id], true), { stream: true }));
}
