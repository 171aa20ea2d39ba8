import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { crc32c } from '@node-rs/crc32';
import type { EventInput } from '../../rpc/generated/tensorflow/Event.js';
import { loadProto } from '../../rpc/load-proto.js';

/** An event of proto/tensorboard.proto. */
export type TensorboardEvent = {
  /** Wall clock, ms since 1970. */
  readonly timeMs: number;
  readonly step: number;
} & (
  | { readonly kind: 'version' }
  /** A resumed run starts at `step`; TensorBoard discards what was recorded from there on. */
  | { readonly kind: 'start' }
  | { readonly kind: 'scalars'; readonly scalars: Readonly<Record<string, number>> }
);

/** An event file that TensorBoard can read while it grows. */
export class EventFile {
  readonly #path: string;
  readonly #fd: number;

  /**
   * Begins a file in `folder`, named as TensorFlow does so that TensorBoard recognises it.
   *
   * @throws the file system's error if it cannot be written
   */
  constructor(folder: string, nowMs = Date.now()) {
    mkdirSync(folder, { recursive: true });
    const seconds = String(Math.floor(nowMs / 1000)).padStart(10, '0');
    this.#path = path.join(folder, `events.out.tfevents.${seconds}.${hostname()}.${process.pid}`);
    // A name that exists is an error, as the file is another process's.
    this.#fd = openSync(this.#path, 'ax');
    this.append({ kind: 'version', timeMs: nowMs, step: 0 });
  }

  /** Appends events with one write; they are in the kernel's hands when the call returns. */
  append(...events: readonly TensorboardEvent[]): void {
    const records = Buffer.concat(events.map((event) => tfRecord(encodeEvent(event))));
    // The first write to a full disk may take a part without an error.
    if (writeSync(this.#fd, records) < records.length)
      throw new Error(`${this.#path}: the disk took only a part of the records`);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

function encodeEvent(event: TensorboardEvent): Buffer {
  const { serialize } = loadProto('tensorboard', 'tensorflow.Event');
  return serialize({ wallTime: event.timeMs / 1000, step: event.step, ...payload(event) });
}

function payload(event: TensorboardEvent): EventInput {
  switch (event.kind) {
    case 'version':
      return { fileVersion: 'brain.Event:2' };
    case 'start':
      return { sessionLog: { status: 'START' } };
    case 'scalars':
      return {
        summary: { value: Object.entries(event.scalars).map(([tag, simpleValue]) => ({ tag, simpleValue })) },
      };
  }
}

/** Encodes a record of a TFRecord file: length (8 bytes, little-endian), its checksum, the data, its checksum. */
function tfRecord(data: Uint8Array): Buffer {
  const record = Buffer.alloc(data.length + 16);
  record.writeBigUInt64LE(BigInt(data.length), 0);
  record.writeUInt32LE(maskedCrc32c(record.subarray(0, 8)), 8);
  record.set(data, 12);
  record.writeUInt32LE(maskedCrc32c(data), 12 + data.length);
  return record;
}

/** Rotates and shifts a checksum as TensorFlow does, so that a checksum of data that holds checksums stays a good one. */
function maskedCrc32c(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
