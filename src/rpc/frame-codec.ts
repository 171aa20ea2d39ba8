import { TrainerError } from '../errors.js';
import type { Frame } from './generated/messages.js';

/** Most bytes in the payload of a frame. */
export const MAX_FRAME_PAYLOAD_BYTES = 1 << 20;

/** Numbers per section: source rank, destination rank, stream offset, length. */
export const SECTION_FIELDS = 4;

/** An encoded frame whose payload is still to be filled in. */
export interface OpenFrame {
  readonly encoded: Buffer;
  readonly payload: Uint8Array;
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
 * Encodes all but the payload, which the caller then copies once, from the ring into the message. The bytes equal
 * protobufjs's encoding of the same frame.
 *
 * @param payloadBytes the sum of the lengths in `sections`
 */
export function openFrame(
  generation: number,
  operation: number,
  sections: readonly number[],
  payloadBytes: number,
): OpenFrame {
  let sectionBytes = 0;
  for (const value of sections) sectionBytes += varintLength(value);
  const packedBytes = sectionBytes === 0 ? 0 : 1 + varintLength(sectionBytes) + sectionBytes;
  const headBytes =
    2 + varintLength(generation) + varintLength(operation) + packedBytes + 1 + varintLength(payloadBytes);
  const encoded = Buffer.allocUnsafe(headBytes + payloadBytes);
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
  at = writeVarint(encoded, at, payloadBytes);
  return { encoded, payload: encoded.subarray(at) };
}

class Reader {
  #at = 0;

  constructor(private readonly bytes: Buffer) {}

  get isAtEnd(): boolean {
    return this.#at === this.bytes.length;
  }

  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.bytes[this.#at++];
      if (byte === undefined) throw malformed('ends inside a number');
      if (shift < 32) value = (value | ((byte & 0x7f) << shift)) >>> 0;
      if (byte < 0x80) return value;
    }
    throw malformed('has a number of more than ten bytes');
  }

  delimited(): Buffer {
    const length = this.varint();
    if (length > this.bytes.length - this.#at) throw malformed('ends inside a field');
    this.#at += length;
    return this.bytes.subarray(this.#at - length, this.#at);
  }

  skip(wireType: number): void {
    if (wireType === 0) this.varint();
    else if (wireType === 2) this.delimited();
    else if (wireType === 1 || wireType === 5) this.#at += wireType === 1 ? 8 : 4;
    else throw malformed(`has wire type ${wireType}`);
    if (this.#at > this.bytes.length) throw malformed('ends inside a field');
  }
}

function malformed(what: string): TrainerError {
  return new TrainerError(
    'INTERNAL',
    `a data frame from another node ${what}: do both nodes run the same version of locmoe?`,
  );
}

/**
 * Decodes a frame; the payload is a view of `bytes`. Skips unknown fields, as protobuf requires.
 *
 * @throws TrainerError `INTERNAL` if the bytes are not a frame, or the sections' lengths do not sum to the
 *   payload's
 */
export function decodeFrame(bytes: Buffer): Frame {
  const reader = new Reader(bytes);
  const sections: number[] = [];
  let generation = 0;
  let operation = 0;
  let payload: Buffer = Buffer.alloc(0);
  while (!reader.isAtEnd) {
    const tag = reader.varint();
    if (tag === GENERATION_TAG) generation = reader.varint();
    else if (tag === OPERATION_TAG) operation = reader.varint();
    else if (tag === PAYLOAD_TAG) payload = reader.delimited();
    else if (tag === SECTIONS_TAG) {
      const packed = new Reader(reader.delimited());
      while (!packed.isAtEnd) sections.push(packed.varint());
    } else reader.skip(tag & 7);
  }
  if (sections.length % SECTION_FIELDS !== 0) throw malformed('has an incomplete section');
  let total = 0;
  for (let at = 3; at < sections.length; at += SECTION_FIELDS) total += sections[at]!;
  if (total !== payload.length)
    throw malformed(`has sections of ${total} bytes and a payload of ${payload.length}`);
  return { generation, operation, sections, payload };
}
