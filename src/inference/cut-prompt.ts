import { formatCount } from '../format.js';

/** Returns the warning about a prompt that is longer than the model's window; null for any other. */
export function cutPrompt(numTokens: number, seqLen: number): string | null {
  if (numTokens <= seqLen) return null;
  return (
    `the prompt has ${formatCount(numTokens)} tokens, and the model sees ${formatCount(seqLen)}: ` +
    `only the last ${formatCount(seqLen)} are read`
  );
}
