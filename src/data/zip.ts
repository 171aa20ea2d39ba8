import { inflateRawSync } from 'node:zlib';

const END_OF_DIRECTORY = 0x06054b50;
const DIRECTORY_ENTRY = 0x02014b50;
/** Bytes of the end of the directory, without a comment. */
const END_BYTES = 22;
const STORED = 0;
const DEFLATED = 8;
/** Of one file, so that a damaged size cannot ask for all memory. */
const MAX_BYTES = 64 << 20;

export interface ZipEntry {
  readonly name: string;
  readonly bytes: () => Buffer;
}

/** The files of a zip archive, in the order of its directory. @throws Error if it is none, or is damaged */
export function zipEntries(zip: Buffer): ZipEntry[] {
  let end = zip.length - END_BYTES;
  while (end >= 0 && zip.readUInt32LE(end) !== END_OF_DIRECTORY) end--;
  if (end < 0) throw new Error('not a zip archive: it has no directory');
  const entries: ZipEntry[] = [];
  let at = zip.readUInt32LE(end + 16);
  for (let left = zip.readUInt16LE(end + 10); left > 0; left--) {
    if (zip.readUInt32LE(at) !== DIRECTORY_ENTRY)
      throw new Error('the directory of a zip archive is damaged');
    const method = zip.readUInt16LE(at + 10);
    const size = zip.readUInt32LE(at + 20);
    const nameEnd = at + 46 + zip.readUInt16LE(at + 28);
    const local = zip.readUInt32LE(at + 42);
    const name = zip.toString('utf8', at + 46, nameEnd);
    entries.push({ name, bytes: () => inflate(name, method, contents(zip, local, size)) });
    at = nameEnd + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32);
  }
  return entries;
}

/** What is stored of a file, behind a header of its own. */
function contents(zip: Buffer, local: number, size: number): Buffer {
  const begin = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
  return zip.subarray(begin, begin + size);
}

function inflate(name: string, method: number, stored: Buffer): Buffer {
  if (method === STORED) return stored;
  if (method === DEFLATED) return inflateRawSync(stored, { maxOutputLength: MAX_BYTES });
  throw new Error(`${name} is packed by method ${method}, which is not supported`);
}
