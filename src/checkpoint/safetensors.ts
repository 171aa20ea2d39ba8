import { closeSync, fstatSync, readSync } from 'node:fs';
import type { FileDigest } from '@locmoe/run-format';
import { openRegular } from '@locmoe/run-format/regular-file';
import { TrainerError } from '../errors.js';
import { writeDurably } from './durable.js';
import { type FileFloats, readFloats } from './floats.js';

// The safetensors format (github.com/huggingface/safetensors): u64 little-endian header length N, N bytes of
// JSON {"name": {"dtype", "shape", "data_offsets": [begin, end]}} padded with spaces, then the tensors,
// row-major and little-endian, at offsets counted from the end of the header.

// Node 20 has no arrays of half floats, so Uint16Array holds their bits. Of BF16 and F16, only BF16 is written.
const ARRAYS = {
  F32: Float32Array,
  I32: Int32Array,
  I64: BigInt64Array,
  BF16: Uint16Array,
  F16: Uint16Array,
  U8: Uint8Array,
} as const;
type Dtype = keyof typeof ARRAYS;
export type TensorData = Float32Array | Int32Array | BigInt64Array | Uint16Array | Uint8Array;

/** A tensor in memory; shape [] is a scalar, and a dimension may be 0. */
export interface StoredTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: TensorData;
}

/** A tensor to write, of elements in memory or in another file. */
export type TensorToWrite = Omit<StoredTensor, 'data'> & { readonly data: TensorData | FileFloats };

/** A tensor in a file; `begin` and `end` are bytes from the start of the file. */
export interface TensorEntry {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/** The checked header of a safetensors file. */
export interface SafetensorsHeader {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Limit on the header's size, as in the reference implementation. */
const MAX_HEADER_BYTES = 100_000_000;
/** Limit on the length of names, which appear in messages. */
const MAX_NAME_LENGTH = 1000;

/**
 * Writes a safetensors file, widest types first and then by name as the reference writer does, and syncs it.
 *
 * @throws TrainerError `DISK_FULL`; `INTERNAL` if a name occurs twice or a shape does not match its data
 */
export function writeSafetensors(
  path: string,
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>> = {},
): FileDigest {
  const { head, sorted } = layOut(path, tensors, metadata);
  return writeDurably(path, partsOf(head, sorted));
}

/**
 * Lays out a file: `head` first, whose length is a multiple of 8, then the data of the tensors in the order of `sorted`.
 *
 * @throws TrainerError `INTERNAL` as `writeSafetensors`
 */
export function layOut<Tensor extends TensorToWrite>(
  path: string,
  tensors: readonly Tensor[],
  metadata: Readonly<Record<string, string>> = {},
): { readonly head: Buffer; readonly sorted: readonly Tensor[] } {
  const widthOf = ({ data }: TensorToWrite) => ARRAYS[dtypeOf(data)].BYTES_PER_ELEMENT;
  const sorted = [...tensors].sort((a, b) => widthOf(b) - widthOf(a) || (a.name < b.name ? -1 : 1));
  const header = Buffer.from(headerJson(path, sorted, metadata));
  const head = Buffer.alloc(8 + Math.ceil(header.length / 8) * 8, ' ');
  head.writeBigUInt64LE(BigInt(head.length - 8));
  header.copy(head, 8);
  return { head, sorted };
}

/** Yields the parts of a file; tensors in another file are read one at a time. */
function* partsOf(head: Uint8Array, tensors: readonly TensorToWrite[]): Generator<Uint8Array> {
  yield head;
  for (const { data } of tensors) yield bytesOf('fd' in data ? readFloats(data) : data);
}

function headerJson(
  path: string,
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>>,
): string {
  // A Map, because a plain object would drop the key "__proto__".
  const entries = new Map<string, unknown>();
  if (Object.keys(metadata).length > 0) entries.set('__metadata__', metadata);
  let end = 0;
  for (const { name, shape, data } of tensors) {
    if (entries.has(name) || name === '__metadata__')
      throw new TrainerError('INTERNAL', `tensor name ${name} is reserved or occurs twice in ${path}`);
    if (numElements(shape) !== data.length)
      throw new TrainerError(
        'INTERNAL',
        `tensor ${name} for ${path} has shape [${shape}] but ${data.length} elements`,
      );
    const begin = end;
    end += data.byteLength;
    entries.set(name, { dtype: dtypeOf(data), shape, data_offsets: [begin, end] });
  }
  const members = [...entries].map(([name, entry]) => `${JSON.stringify(name)}:${JSON.stringify(entry)}`);
  return `{${members.join(',')}}`;
}

/**
 * Reads and checks the header of a safetensors file; never allocates more than the file's size. Accepted: known types,
 * unique names, sizes that agree with type and shape, tensors that cover the buffer without overlap or hole.
 *
 * @throws TrainerError `BAD_CHECKPOINT` naming the file, the tensor, what was expected and what was found
 */
export function readSafetensorsHeader(path: string): SafetensorsHeader {
  const file = openRegular(path);
  try {
    const fileBytes = fstatSync(file).size;
    const text = readHeaderText(path, file, fileBytes);
    const dataStart = 8 + Buffer.byteLength(text);
    const header = parseHeader(path, text);
    const { __metadata__: metadata = {} } = header;
    if (!isRecord(metadata) || !Object.values(metadata).every((value) => typeof value === 'string'))
      throw damaged(path, '__metadata__ must map strings to strings');
    const tensors = new Map<string, TensorEntry>();
    for (const [name, entry] of Object.entries(header))
      if (name !== '__metadata__') tensors.set(name, checkEntry(path, name, entry, dataStart));
    checkCoverage(path, tensors, dataStart, fileBytes);
    return { path, tensors, metadata: metadata as Record<string, string> };
  } finally {
    closeSync(file);
  }
}

/**
 * Reads a tensor of a file with a checked header.
 *
 * @throws TrainerError `BAD_CHECKPOINT` if the file has no such tensor or was truncated since
 */
export function readTensor(header: SafetensorsHeader, name: string): StoredTensor {
  const entry = header.tensors.get(name);
  if (!entry) throw damaged(header.path, `there is no tensor ${name}`);
  const data = new ARRAYS[entry.dtype](numElements(entry.shape));
  const file = openRegular(header.path);
  try {
    readFully(header.path, file, bytesOf(data), entry.begin);
  } finally {
    closeSync(file);
  }
  return { name, shape: entry.shape, data };
}

function readHeaderText(path: string, file: number, fileBytes: number): string {
  if (fileBytes < 8) throw damaged(path, `expected at least 8 bytes, found ${fileBytes}`);
  const length = Buffer.alloc(8);
  readFully(path, file, length, 0);
  const headerBytes = length.readBigUInt64LE();
  const limit = Math.min(MAX_HEADER_BYTES, fileBytes - 8);
  if (headerBytes > BigInt(limit))
    throw damaged(path, `its header claims ${headerBytes} bytes, at most ${limit} are possible`);
  const header = Buffer.alloc(Number(headerBytes));
  readFully(path, file, header, 8);
  if (header[0] !== 0x7b) throw damaged(path, 'its header does not start with "{"');
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(header);
  } catch {
    throw damaged(path, 'its header is not UTF-8');
  }
}

function parseHeader(path: string, text: string): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (error) {
    throw damaged(path, `its header is not JSON (${(error as Error).message})`);
  }
  const duplicate = duplicateKey(text);
  if (duplicate !== undefined) throw damaged(path, `its header has the key ${duplicate} twice`);
  // The text starts with "{", so the value is an object.
  return header as Record<string, unknown>;
}

/** Finds the first duplicate key of an object of valid JSON; `JSON.parse` would silently keep the last value. */
function duplicateKey(json: string): string | undefined {
  const keysByDepth: Set<string>[] = [];
  const colon = /\s*:/y;
  for (let at = 0; at < json.length; at++) {
    if (json[at] === '{') keysByDepth.push(new Set());
    else if (json[at] === '}') keysByDepth.pop();
    if (json[at] !== '"') continue;
    const begin = at++;
    // A regular expression is not used: its stack would overflow in a string of megabytes.
    for (; json[at] !== '"'; at++) if (json[at] === '\\') at++;
    colon.lastIndex = at + 1;
    if (!colon.test(json)) continue;
    const keys = keysByDepth.at(-1)!;
    const key = json.slice(begin, at + 1);
    const name = JSON.parse(key) as string;
    if (keys.has(name)) return key;
    keys.add(name);
  }
  return undefined;
}

function checkEntry(path: string, name: string, entry: unknown, dataStart: number): TensorEntry {
  if (name.length > MAX_NAME_LENGTH)
    throw damaged(
      path,
      `the name of a tensor has ${name.length} characters, at most ${MAX_NAME_LENGTH} are possible`,
    );
  const fail = (what: string) => damaged(path, `tensor ${name}: ${what}`);
  if (!isRecord(entry)) throw fail('its entry is not an object');
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== 'string' || !Object.hasOwn(ARRAYS, dtype))
    throw fail(`type ${JSON.stringify(dtype)} is not one of ${Object.keys(ARRAYS).join(', ')}`);
  if (!isSizes(shape)) throw fail(`shape ${JSON.stringify(shape)} is not a list of sizes`);
  if (!isSizes(offsets) || offsets.length !== 2 || offsets[0]! > offsets[1]!)
    throw fail(`data_offsets ${JSON.stringify(offsets)} are not [begin, end]`);
  const expected = numElements(shape) * ARRAYS[dtype as Dtype].BYTES_PER_ELEMENT;
  const actual = offsets[1]! - offsets[0]!;
  if (expected !== actual)
    throw fail(`${dtype} of shape [${shape}] takes ${expected} bytes, its data_offsets span ${actual}`);
  return { dtype: dtype as Dtype, shape, begin: dataStart + offsets[0]!, end: dataStart + offsets[1]! };
}

function checkCoverage(
  path: string,
  tensors: ReadonlyMap<string, TensorEntry>,
  dataStart: number,
  fileBytes: number,
): void {
  let end = dataStart;
  for (const [name, entry] of [...tensors].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end)) {
    if (entry.begin !== end)
      throw damaged(path, `tensor ${name}: expected to begin at byte ${end}, begins at ${entry.begin}`);
    end = entry.end;
  }
  if (end !== fileBytes) throw damaged(path, `expected ${end} bytes, found ${fileBytes}`);
}

function readFully(path: string, file: number, into: Uint8Array, position: number): void {
  for (let at = 0; at < into.length; ) {
    const read = readSync(file, into, at, Math.min(1 << 30, into.length - at), position + at);
    if (read === 0) throw damaged(path, `expected ${position + into.length} bytes, found ${position + at}`);
    at += read;
  }
}

function damaged(path: string, what: string): TrainerError {
  return new TrainerError('BAD_CHECKPOINT', `${path} is damaged: ${what}`);
}

function dtypeOf(data: TensorData | FileFloats): Dtype {
  if ('fd' in data) return 'F32';
  return (Object.keys(ARRAYS) as Dtype[]).find((dtype) => data instanceof ARRAYS[dtype])!;
}

function bytesOf(data: TensorData): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function numElements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
