import { writeDurably } from 'locmoe/internal/checkpoint/durable';

// The file format GGUF, version 3, of llama.cpp (docs/gguf.md of ggml-org/ggml): little-endian; metadata,
// descriptions of the tensors, and their data, each tensor at a multiple of 32 bytes.

const VERSION = 3;
const ALIGNMENT = 32;

/** Types of metadata by their numbers in the file. */
const FIELD = { uint32: 4, int32: 5, float32: 6, bool: 7, string: 8, array: 9 } as const;

/** Types of tensors by their numbers in the file. */
const TENSOR = { F32: 0, F16: 1, Q8_0: 8, Q4_K: 12 } as const;
export type GgufType = keyof typeof TENSOR;

/** A value of the metadata, encoded. */
export interface GgufValue {
  readonly type: keyof typeof FIELD;
  readonly bytes: Buffer;
}

export interface GgufTensor {
  readonly name: string;
  /** Row-major, with the longest stride first; the file has the reverse order. */
  readonly shape: readonly number[];
  readonly type: GgufType;
  readonly bytes: number;
  /** The data in pieces, which are created as they are written. */
  readonly pieces: () => Iterable<Uint8Array>;
}

/** @throws TrainerError as `writeDurably` */
export function writeGguf(
  file: string,
  metadata: ReadonlyMap<string, GgufValue>,
  tensors: readonly GgufTensor[],
): void {
  writeDurably(file, bytesOf(metadata, tensors));
}

function* bytesOf(
  metadata: ReadonlyMap<string, GgufValue>,
  tensors: readonly GgufTensor[],
): Iterable<Uint8Array> {
  const head = [Buffer.from('GGUF'), uint32(VERSION), uint64(tensors.length), uint64(metadata.size)];
  for (const [key, { type, bytes }] of metadata) head.push(prefixed(key), uint32(FIELD[type]), bytes);
  let offset = 0;
  for (const { name, shape, type, bytes } of tensors) {
    const lengths = shape.toReversed().map(uint64);
    head.push(prefixed(name), uint32(shape.length), ...lengths, uint32(TENSOR[type]), uint64(offset));
    offset += bytes + paddingAfter(bytes);
  }
  const whole = Buffer.concat(head);
  yield whole;
  yield Buffer.alloc(paddingAfter(whole.length));
  for (const { bytes, pieces } of tensors) {
    yield* pieces();
    yield Buffer.alloc(paddingAfter(bytes));
  }
}

function paddingAfter(bytes: number): number {
  return (ALIGNMENT - (bytes % ALIGNMENT)) % ALIGNMENT;
}

/** Encodes a value of the metadata. */
export const ggufValue = {
  uint32: (value: number): GgufValue => ({ type: 'uint32', bytes: uint32(value) }),
  float32(value: number): GgufValue {
    const bytes = Buffer.alloc(4);
    bytes.writeFloatLE(value);
    return { type: 'float32', bytes };
  },
  bool: (value: boolean): GgufValue => ({ type: 'bool', bytes: Buffer.of(value ? 1 : 0) }),
  string: (value: string): GgufValue => ({ type: 'string', bytes: prefixed(value) }),
  strings: (values: readonly string[]): GgufValue => array('string', values.map(prefixed)),
  /** Encodes numbers, which must not be negative. */
  int32s: (values: readonly number[]): GgufValue => array('int32', values.map(uint32)),
};

function array(type: keyof typeof FIELD, values: readonly Buffer[]): GgufValue {
  return { type: 'array', bytes: Buffer.concat([uint32(FIELD[type]), uint64(values.length), ...values]) };
}

function prefixed(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([uint64(bytes.length), bytes]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}
