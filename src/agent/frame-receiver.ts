import type { ByteRing } from '../collectives/byte-ring.js';
import type { Doorbell } from '../collectives/doorbell.js';
import { TrainerError } from '../errors.js';
import { decodeHead, type FrameHead, MAX_FRAME_PAYLOAD_BYTES } from '../rpc/frame-codec.js';
import type { ByteReceiver } from '../rpc/http2/direct-client.js';
import { MESSAGE_PREFIX_BYTES } from '../rpc/http2/frames.js';

/** Destination of a section of a frame. */
export interface SectionTarget {
  readonly ring: ByteRing;
  readonly consumer: Pick<Doorbell, 'ring'>;
  /** Bytes that have not arrived yet. */
  left: number;
}

/** Enough for the sections of all pairs of ranks of two nodes. */
const MOST_HEAD_BYTES = 1 << 16;
/** Bytes read at a time, so that little of the payload is copied twice. */
const HEAD_STEP_BYTES = 64;

/** Writes the messages of a stream, whose bytes arrive in arbitrary pieces, to the rings of their destinations. */
export class FrameReceiver implements ByteReceiver {
  /** The part of a message's prefix and head that has arrived. */
  #start = Buffer.alloc(0);
  #targets: SectionTarget[] = [];

  /** @param begin checks a frame's head and returns the destinations of its sections */
  constructor(private readonly begin: (head: FrameHead) => SectionTarget[]) {}

  take(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      const place = this.place(bytes.length - at);
      if (place === null) at += this.#readStart(bytes.subarray(at));
      else {
        place.set(bytes.subarray(at, at + place.length));
        this.filled(place.length);
        at += place.length;
      }
    }
  }

  place(max: number): Uint8Array | null {
    const target = this.#targets[0];
    return target === undefined ? null : target.ring.room(Math.min(max, target.left));
  }

  filled(bytes: number): void {
    const target = this.#targets[0]!;
    target.ring.advance(bytes);
    target.left -= bytes;
    if (target.ring.takeWantsData()) target.consumer.ring();
    if (target.left === 0) this.#targets.shift();
  }

  /** Returns how many of the bytes belong to the prefix and the head. */
  #readStart(bytes: Buffer): number {
    const had = this.#start.length;
    if (had < MESSAGE_PREFIX_BYTES) {
      this.#start = Buffer.concat([this.#start, bytes.subarray(0, MESSAGE_PREFIX_BYTES - had)]);
      return this.#start.length - had;
    }
    const messageBytes = this.#start.readUInt32BE(1);
    if (this.#start[0] !== 0 || messageBytes > MOST_HEAD_BYTES + MAX_FRAME_PAYLOAD_BYTES)
      throw new TrainerError(
        'BAD_MESSAGE',
        `a message from another node has ${messageBytes} bytes, or is compressed`,
      );
    const step = Math.min(HEAD_STEP_BYTES, MESSAGE_PREFIX_BYTES + messageBytes - had);
    this.#start = Buffer.concat([this.#start, bytes.subarray(0, step)]);
    const head = decodeHead(this.#start.subarray(MESSAGE_PREFIX_BYTES), messageBytes);
    if (head === null) {
      if (this.#start.length > MOST_HEAD_BYTES)
        throw new TrainerError('BAD_MESSAGE', 'a message from another node has no payload where one is due');
      return this.#start.length - had;
    }
    this.#start = Buffer.alloc(0);
    this.#targets = this.begin(head).filter(({ left }) => left > 0);
    return MESSAGE_PREFIX_BYTES + head.headBytes - had;
  }
}
