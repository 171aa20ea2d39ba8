/** Longer documents are cut, so that they are never in memory as a whole. */
const PIECE_BYTES = 1 << 20;
/** How far before the end of a piece its last line or word may end. */
const CUT_BYTES = 1 << 16;

/** Yields documents: the parts between separators, or the whole text; long ones in pieces of a megabyte. */
export async function* textDocuments(
  windows: AsyncIterable<Buffer>,
  separator: Buffer | null,
): AsyncGenerator<Buffer[]> {
  let pending: Buffer = Buffer.alloc(0);
  for await (const window of windows) {
    pending = pending.length === 0 ? window : Buffer.concat([pending, window]);
    const documents: Buffer[] = [];
    if (separator !== null)
      for (let at = pending.indexOf(separator); at >= 0; at = pending.indexOf(separator)) {
        documents.push(...cut(pending.subarray(0, at), PIECE_BYTES));
        pending = pending.subarray(at + separator.length);
      }
    // The end of `pending` may be the beginning of a separator.
    const pieces = cut(pending, PIECE_BYTES + (separator?.length ?? 0));
    pending = pieces.pop()!;
    documents.push(...pieces);
    if (documents.length > 0) yield documents;
  }
  if (pending.length > 0) yield [pending];
}

/** Cuts off pieces of a megabyte until at most `most` bytes are left. */
function cut(text: Buffer, most: number): Buffer[] {
  const pieces: Buffer[] = [];
  let rest = text;
  while (rest.length > most) {
    const length = cutLength(rest);
    pieces.push(rest.subarray(0, length));
    rest = rest.subarray(length);
  }
  return [...pieces, rest];
}

/** Returns where to cut a longer text: after a line, else a word, else a character. */
function cutLength(text: Buffer): number {
  const tail = text.subarray(PIECE_BYTES - CUT_BYTES, PIECE_BYTES);
  for (const end of ['\n', ' ']) {
    const at = tail.lastIndexOf(end);
    if (at >= 0) return PIECE_BYTES - CUT_BYTES + at + 1;
  }
  let length = PIECE_BYTES;
  while (length > PIECE_BYTES - 4 && (text[length]! & 0xc0) === 0x80) length--;
  return length;
}
