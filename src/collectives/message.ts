import {
  KIND_OF_CODE,
  OPERATION_CODES,
  type Operation,
  type OperationKind,
} from '@locmoe/run-format/operations';
import type { ByteRing } from './byte-ring.js';
import { encodePurpose, MAX_PURPOSE_BYTES } from './purpose.js';

const PURPOSE_OFFSET = 24;
/** Bytes before the payload of every message. */
export const MESSAGE_HEADER_BYTES = PURPOSE_OFFSET + MAX_PURPOSE_BYTES;

const NO_LAYER = 0xffff;

/** Place of the operation that a message belongs to among its rank's operations. */
export interface MessagePlace {
  readonly sequence: number;
  readonly step: number;
}

/** The header of a message: enough to detect that two ranks are in different operations. */
export interface MessageHeader extends MessagePlace {
  readonly totalBytes: number;
  readonly kind: OperationKind;
  readonly aggregate: boolean;
  readonly layer: number | undefined;
  /** 0 if the operation has no counts to agree on. */
  readonly countsHash: number;
  readonly purpose: string;
}

// Layout: sequence u32, total bytes u32, kind u8, aggregate u8, layer u16, step u32, counts hash u32, purpose
// length u32, purpose text.

export function encodeHeader(
  target: Uint8Array,
  operation: Operation,
  place: MessagePlace,
  totalBytes: number,
  aggregate: boolean,
): void {
  const view = new DataView(target.buffer, target.byteOffset, MESSAGE_HEADER_BYTES);
  view.setUint32(0, place.sequence, true);
  view.setUint32(4, totalBytes, true);
  view.setUint8(8, OPERATION_CODES[operation.kind]);
  view.setUint8(9, aggregate ? 1 : 0);
  view.setUint16(10, operation.layer ?? NO_LAYER, true);
  view.setUint32(12, place.step, true);
  view.setUint32(16, operation.countsHash ?? 0, true);
  const purpose = encodePurpose(operation.purpose);
  view.setUint32(20, purpose.length, true);
  target.set(purpose, PURPOSE_OFFSET);
}

function decodeHeader(bytes: Uint8Array): MessageHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, MESSAGE_HEADER_BYTES);
  const layer = view.getUint16(10, true);
  return {
    sequence: view.getUint32(0, true),
    totalBytes: view.getUint32(4, true),
    kind: KIND_OF_CODE[view.getUint8(8)]!,
    aggregate: view.getUint8(9) === 1,
    layer: layer === NO_LAYER ? undefined : layer,
    step: view.getUint32(12, true),
    countsHash: view.getUint32(16, true),
    purpose: String.fromCharCode(
      ...bytes.subarray(PURPOSE_OFFSET, PURPOSE_OFFSET + view.getUint32(20, true)),
    ),
  };
}

/** Returns the fields that an agent needs to relay a message. */
export function decodeForRelay(
  bytes: Uint8Array,
): Pick<MessageHeader, 'sequence' | 'totalBytes' | 'aggregate'> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, MESSAGE_HEADER_BYTES);
  return {
    sequence: view.getUint32(0, true),
    totalBytes: view.getUint32(4, true),
    aggregate: view.getUint8(9) === 1,
  };
}

/** A position in a list of byte arrays, which are read as if concatenated. */
class PartCursor {
  #parts: readonly Uint8Array[] = [];
  #index = 0;
  #offset = 0;
  bytesLeft = 0;

  reset(parts: readonly Uint8Array[]): void {
    this.#parts = parts;
    this.#index = 0;
    this.#offset = 0;
    this.bytesLeft = 0;
    for (const part of parts) this.bytesLeft += part.length;
  }

  /** Calls `move(part, from)` until a call moves nothing or the end is reached; returns the bytes moved. */
  advance(move: (part: Uint8Array, from: number) => number): number {
    let total = 0;
    while (this.bytesLeft > 0) {
      const part = this.#parts[this.#index]!;
      if (this.#offset === part.length) {
        this.#index++;
        this.#offset = 0;
        continue;
      }
      const moved = move(part, this.#offset);
      if (moved === 0) break;
      this.#offset += moved;
      this.bytesLeft -= moved;
      total += moved;
    }
    return total;
  }
}

/** A message to one peer; reused from operation to operation. */
export class OutgoingMessage {
  readonly #header = new Uint8Array(MESSAGE_HEADER_BYTES);
  readonly #cursor = new PartCursor();
  readonly #write: (part: Uint8Array, from: number) => number;

  constructor(
    readonly peer: number,
    readonly ring: ByteRing,
    /** Wakes the consumer of the ring, if it waits for data. */
    private readonly notify: () => void,
  ) {
    this.#write = (part, from) => ring.write(part, from);
  }

  /** @returns number of bytes of the message without its header */
  begin(operation: Operation, place: MessagePlace, aggregate: boolean, parts: readonly Uint8Array[]): number {
    this.#cursor.reset([this.#header, ...parts]);
    const totalBytes = this.#cursor.bytesLeft - MESSAGE_HEADER_BYTES;
    encodeHeader(this.#header, operation, place, totalBytes, aggregate);
    return totalBytes;
  }

  get done(): boolean {
    return this.#cursor.bytesLeft === 0;
  }

  /** Writes as much as fits into the ring; returns the bytes moved. */
  progress(): number {
    const moved = this.#cursor.advance(this.#write);
    if (moved > 0) this.notify();
    if (this.done) this.ring.setWantsSpace(false);
    return moved;
  }
}

type HeaderCheck = (peer: number, header: MessageHeader, expectedBytes: number) => void;

/** A message from one peer; reused from operation to operation. */
export class IncomingMessage {
  readonly #header = new Uint8Array(MESSAGE_HEADER_BYTES);
  readonly #cursor = new PartCursor();
  readonly #read: (part: Uint8Array, from: number) => number;
  #headerBytes = 0;
  #check: HeaderCheck = () => undefined;

  constructor(
    readonly peer: number,
    readonly ring: ByteRing,
    /** Wakes the producer of the ring, if it waits for space. */
    private readonly notify: () => void,
  ) {
    this.#read = (part, from) => ring.read(part, from);
  }

  /**
   * @param check throws if the header is not that of this operation
   * @returns number of bytes of the message without its header
   */
  begin(parts: readonly Uint8Array[], check: HeaderCheck): number {
    this.#cursor.reset(parts);
    this.#headerBytes = 0;
    this.#check = check;
    return this.#cursor.bytesLeft;
  }

  get done(): boolean {
    return this.#headerBytes === MESSAGE_HEADER_BYTES && this.#cursor.bytesLeft === 0;
  }

  get bytesLeft(): number {
    return MESSAGE_HEADER_BYTES - this.#headerBytes + this.#cursor.bytesLeft;
  }

  /** Reads what is in the ring; returns the bytes moved. */
  progress(): number {
    let moved = 0;
    if (this.#headerBytes < MESSAGE_HEADER_BYTES) {
      moved = this.ring.read(this.#header, this.#headerBytes);
      this.#headerBytes += moved;
      if (this.#headerBytes < MESSAGE_HEADER_BYTES) return moved;
      this.#check(this.peer, decodeHeader(this.#header), this.#cursor.bytesLeft);
    }
    moved += this.#cursor.advance(this.#read);
    if (moved > 0) this.notify();
    if (this.done) this.ring.setWantsData(false);
    return moved;
  }
}
