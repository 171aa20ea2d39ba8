/**
 * GPT-2's pre-tokenizer: contractions, words, numbers, punctuation and white space, each after at most one
 * space. `\p{White_Space}` is the `\s` of other languages; JavaScript's `\s` differs in U+0085 and U+FEFF.
 */
export const PRE_TOKENIZER =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

/** GPT-2's printable character for each byte: printable Latin-1 represents itself, the other bytes follow from U+0100 on. */
export const BYTE_CHARACTERS: readonly string[] = (() => {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    return String.fromCharCode(printable ? byte : next++);
  });
})();
