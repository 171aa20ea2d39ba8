import { TrainerError } from '../errors.js';
import type { Frame } from './generated/messages.js';

/** Maximum size of a frame's payload, in bytes. */
export const MAX_FRAME_PAYLOAD_BYTES = 1 << 20;

/** Numbers per section: source rank, destination rank, stream offset, length. */
export const SECTION_FIELDS = 4;

/** All of a frame but its payload. */
export interface FrameHead extends Omit<Frame, 'payload'> {
  readonly payloadBytes: number;
  /** Bytes of the encoded frame before the payload. */
  readonly headBytes: number;
}

// Field number << 3 | wire type (0 varint, 2 length-delimited).
const GENERATION_TAG = 0x08;
const OPERATION_TAG = 0x10;
const SECTIONS_TAG = 0x1a;
const PAYLOAD_TAG = 0x22;

function varintLength(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x200000 ? 3 : value < 0x10000000 ? 4 : 5;
}

function writeVarint(target: Uint8Array, at: number, value: number): number {
  let rest = value >>> 0;
  let next = at;
  while (rest > 0x7f) {
    target[next++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  target[next++] = rest;
  return next;
}

/**
 * Encodes all but the payload, whose bytes follow. The bytes equal protobufjs's encoding of the same frame.
 *
 * @param payloadBytes the sum of the lengths in `sections`
 */
export function encodeHead(
  generation: number,
  operation: number,
  sections: readonly number[],
  payloadBytes: number,
): Buffer {
  let sectionBytes = 0;
  for (const value of sections) sectionBytes += varintLength(value);
  const packedBytes = sectionBytes === 0 ? 0 : 1 + varintLength(sectionBytes) + sectionBytes;
  const headBytes =
    2 + varintLength(generation) + varintLength(operation) + packedBytes + 1 + varintLength(payloadBytes);
  const encoded = Buffer.allocUnsafe(headBytes);
  encoded[0] = GENERATION_TAG;
  let at = writeVarint(encoded, 1, generation);
  encoded[at++] = OPERATION_TAG;
  at = writeVarint(encoded, at, operation);
  if (sectionBytes > 0) {
    encoded[at++] = SECTIONS_TAG;
    at = writeVarint(encoded, at, sectionBytes);
    for (const value of sections) at = writeVarint(encoded, at, value);
  }
  encoded[at++] = PAYLOAD_TAG;
  writeVarint(encoded, at, payloadBytes);
  return encoded;
}

/** Thrown where bytes end inside a field. */
const ENDS_EARLY = Symbol('ends early');

class Reader {
  #at = 0;

  constructor(private readonly bytes: Buffer) {}

  get isAtEnd(): boolean {
    return this.#at === this.bytes.length;
  }

  get position(): number {
    return this.#at;
  }

  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.bytes[this.#at++];
      if (byte === undefined) throw ENDS_EARLY;
      if (shift < 32) value = (value | ((byte & 0x7f) << shift)) >>> 0;
      if (byte < 0x80) return value;
    }
    throw malformed('has a number of more than ten bytes');
  }

  delimited(): Buffer {
    const length = this.varint();
    if (length > this.bytes.length - this.#at) throw ENDS_EARLY;
    this.#at += length;
    return this.bytes.subarray(this.#at - length, this.#at);
  }

  skip(wireType: number): void {
    if (wireType === 0) this.varint();
    else if (wireType === 2) this.delimited();
    else if (wireType === 1 || wireType === 5) this.#at += wireType === 1 ? 8 : 4;
    else throw malformed(`has wire type ${wireType}`);
    if (this.#at > this.bytes.length) throw ENDS_EARLY;
  }
}

function malformed(what: string): TrainerError {
  return new TrainerError(
    'INTERNAL',
    `a data frame from another node ${what}: do both nodes run the same version of locmoe?`,
  );
}

/**
 * Decodes a frame up to its payload, which has to be the last field. Skips unknown fields, as protobuf requires.
 *
 * @param bytes the first bytes of the frame
 * @param frameBytes number of bytes of the whole frame
 * @returns null if more bytes of the frame have to come
 * @throws TrainerError `INTERNAL` if the bytes are not a frame, or the sections' lengths do not sum to the payload's
 */
export function decodeHead(bytes: Buffer, frameBytes: number): FrameHead | null {
  try {
    return headOf(new Reader(bytes), frameBytes);
  } catch (error) {
    if (error !== ENDS_EARLY) throw error;
    if (bytes.length >= frameBytes) throw malformed('ends inside a field');
    return null;
  }
}

function headOf(reader: Reader, frameBytes: number): FrameHead {
  const sections: number[] = [];
  let generation = 0;
  let operation = 0;
  let payloadBytes = 0;
  while (reader.position < frameBytes) {
    const tag = reader.varint();
    if (tag === GENERATION_TAG) generation = reader.varint();
    else if (tag === OPERATION_TAG) operation = reader.varint();
    else if (tag === PAYLOAD_TAG) {
      payloadBytes = reader.varint();
      if (reader.position + payloadBytes !== frameBytes) throw malformed('does not end with its payload');
      break;
    } else if (tag === SECTIONS_TAG) {
      const packed = reader.delimited();
      const numbers = new Reader(packed);
      try {
        while (!numbers.isAtEnd) sections.push(numbers.varint());
      } catch {
        throw malformed('ends inside a number');
      }
    } else reader.skip(tag & 7);
  }
  if (sections.length % SECTION_FIELDS !== 0) throw malformed('has an incomplete section');
  let total = 0;
  for (let at = 3; at < sections.length; at += SECTION_FIELDS) total += sections[at]!;
  if (total !== payloadBytes)
    throw malformed(`has sections of ${total} bytes and a payload of ${payloadBytes}`);
  return { generation, operation, sections, payloadBytes, headBytes: reader.position };
}
