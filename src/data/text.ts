const CHUNK_MIN_BYTES = 2000;
const CHUNK_MAX_BYTES = 4000;
/** Smallest last chunk of a text that is split. */
const CHUNK_TAIL_BYTES = 1000;

/** Places to cut, best first; of one class the last that fits. The separator stays with the first part. */
const CUTS: readonly (readonly Buffer[])[] = [
  ['\n\n'],
  ['\n'],
  ['. ', '? ', '! ', '。', '！', '？', '；'],
  [' '],
].map((separators) => separators.map((separator) => Buffer.from(separator)));

/**
 * Unix line ends, no byte order marks or control characters, no trailing blanks, at most one empty line in a
 * row.
 */
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
 * Splits a text into chunks of 2,000 to 4,000 bytes of UTF-8 at the end of a paragraph, else a line, else a
 * sentence, else a word. A text of at most 4,000 bytes is one chunk. The concatenated chunks differ from the
 * text only in white space.
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
      // No further back than a cut may be: a search of the whole text takes quadratic time.
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

/** Entry of `lettersOfUnits` for a unit whose lower case has another length or depends on its neighbours. */
const NOT_ALONE = 0xffff;

/** Lower case of each UTF-16 unit, 0 if it is neither letter nor digit. It is made once, in about 20 ms. */
let lettersOfUnits: Uint16Array | undefined;

function unitTable(): Uint16Array {
  return Uint16Array.from({ length: 2 ** 16 }, (_, unit) => {
    const lower = String.fromCharCode(unit).toLowerCase();
    // The capital sigma has two small letters, by its place in the word.
    const isAlone = lower.length === 1 && unit !== 0x3a3 && !(unit >= 0xd800 && unit <= 0xdfff);
    if (!isAlone) return NOT_ALONE;
    return /[\p{L}\p{N}]/u.test(lower) ? lower.charCodeAt(0) : 0;
  });
}

/** UTF-16 units of the lower-case letters, digits and ideographs alone, so that layout and punctuation make no difference. */
export function normalise(text: string): Uint16Array {
  lettersOfUnits ??= unitTable();
  const units = new Uint16Array(text.length);
  let length = 0;
  for (let i = 0; i < text.length; i++) {
    const letter = lettersOfUnits[text.charCodeAt(i)]!;
    if (letter === NOT_ALONE) return normaliseSlowly(text);
    if (letter !== 0) units[length++] = letter;
  }
  return units.subarray(0, length);
}

function normaliseSlowly(text: string): Uint16Array {
  const normal = text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '');
  return Uint16Array.from({ length: normal.length }, (_, i) => normal.charCodeAt(i));
}
