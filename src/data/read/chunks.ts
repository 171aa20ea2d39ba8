const CHUNK_MIN_BYTES = 2000;
const CHUNK_MAX_BYTES = 4000;
/** Minimum size of the last chunk of a text that is split. */
const CHUNK_TAIL_BYTES = 1000;

const utf8 = new TextEncoder();
/** Places to cut, best first; of one kind, the last that fits. The separator stays with the first part. */
const CUTS: readonly (readonly Uint8Array[])[] = [
  ['\n\n'],
  ['\n'],
  ['. ', '? ', '! ', '。', '！', '？', '；'],
  [' '],
].map((separators) => separators.map((separator) => utf8.encode(separator)));

/** Uses Unix line ends; removes byte order marks, control characters, trailing blanks and repeated empty lines. */
export function cleanText(text: string): string {
  return (
    text
      .replace(/\r\n?/g, '\n')
      // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is removed
      .replace(/[\u0000-\u0008\u000b-\u001f\u007f\ufeff\ufffd]/g, '')
      .replace(/[^\S\n]+$/gm, '')
      .replace(/\n{3,}/g, '\n\n')
      .replace(/^\n+/, '')
      .trimEnd()
  );
}

/**
 * Splits a text into chunks of 2,000 to 4,000 bytes of UTF-8 at the end of a paragraph, else a line, else a sentence, else a
 * word. A text of at most 4,000 bytes is one chunk. The concatenated chunks differ from the text only in white space.
 */
export function chunkText(text: string): string[] {
  const bytes = Buffer.from(text);
  const chunks: string[] = [];
  let begin = 0;
  while (bytes.length - begin > CHUNK_MAX_BYTES) {
    const latest = Math.min(begin + CHUNK_MAX_BYTES, bytes.length - CHUNK_TAIL_BYTES);
    const end = cutBetween(bytes, begin + CHUNK_MIN_BYTES, latest);
    chunks.push(bytes.toString('utf8', begin, end));
    begin = end;
  }
  chunks.push(bytes.toString('utf8', begin));
  return chunks.map(cleanText).filter((chunk) => chunk.length > 0);
}

function cutBetween(bytes: Buffer, earliest: number, latest: number): number {
  for (const separators of CUTS) {
    const ends = separators.map((separator) => {
      const length = separator.length;
      // The search starts no earlier than a cut may be, as searching the whole text would take quadratic time.
      const from = Math.max(0, earliest - length);
      const at = bytes.subarray(from, latest).lastIndexOf(separator);
      return at < 0 ? 0 : from + at + length;
    });
    const end = Math.max(...ends);
    if (end >= earliest) return end;
  }
  let end = latest;
  while ((bytes[end]! & 0xc0) === 0x80) end--;
  return end;
}
