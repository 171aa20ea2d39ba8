/** 32-bit words of a ring's control: three cache lines (producer, consumer, agent). */
export const RING_CONTROL_WORDS = 48;

const HEAD = 0;
const WANTS_SPACE = 1;
const TAIL = 16;
const WANTS_DATA = 17;
const CREDITED = 32;

/**
 * A single-producer single-consumer byte ring in shared memory.
 *
 * `head` counts the bytes ever written and `tail` the bytes ever read, both modulo 2^32; each is stored by
 * one side only. Each side has a flag that asks the other to ring its doorbell: `wantsData` is set by a
 * consumer of an empty ring, `wantsSpace` by a producer of a full one.
 */
export class ByteRing {
  constructor(
    private readonly words: Int32Array,
    private readonly bytes: Uint8Array,
    private readonly control: number,
    private readonly start: number,
    private readonly size: number,
  ) {}

  get head(): number {
    return Atomics.load(this.words, this.control + HEAD) >>> 0;
  }

  get tail(): number {
    return Atomics.load(this.words, this.control + TAIL) >>> 0;
  }

  get readable(): number {
    return (this.head - this.tail) >>> 0;
  }

  get writable(): number {
    return this.size - this.readable;
  }

  /** Copies as much of `source` from byte `from` on as fits; returns the number of bytes. */
  write(source: Uint8Array, from: number): number {
    const head = this.head;
    const room = this.size - ((head - this.tail) >>> 0);
    const count = Math.min(room, source.length - from);
    if (count === 0) return 0;
    const at = head & (this.size - 1);
    const first = Math.min(count, this.size - at);
    this.bytes.set(source.subarray(from, from + first), this.start + at);
    if (first < count) this.bytes.set(source.subarray(from + first, from + count), this.start);
    Atomics.store(this.words, this.control + HEAD, (head + count) | 0);
    return count;
  }

  /** Copies the available bytes to `target` from byte `from` on, as many as fit; returns the number of bytes. */
  read(target: Uint8Array, from: number): number {
    const tail = this.tail;
    const count = Math.min((this.head - tail) >>> 0, target.length - from);
    if (count === 0) return 0;
    this.#copyOut(tail, target, from, count);
    Atomics.store(this.words, this.control + TAIL, (tail + count) | 0);
    return count;
  }

  /** Copies `target.length` available bytes, starting at `offset` bytes after the tail, without consuming them. */
  peek(target: Uint8Array, offset = 0): void {
    this.#copyOut(this.tail + offset, target, 0, target.length);
  }

  /** Returns free space at the head, in one piece of at most `max` bytes; `advance` tells how much of it was written. */
  room(max: number): Uint8Array {
    const head = this.head;
    const at = head & (this.size - 1);
    const count = Math.min(max, this.size - at, this.size - ((head - this.tail) >>> 0));
    return this.bytes.subarray(this.start + at, this.start + at + count);
  }

  advance(count: number): void {
    Atomics.store(this.words, this.control + HEAD, (this.head + count) | 0);
  }

  /** Returns `count` available bytes from `offset` bytes after the tail on, in one or two pieces; `release` consumes them. */
  pieces(offset: number, count: number): Uint8Array[] {
    const at = (this.tail + offset) & (this.size - 1);
    const first = Math.min(count, this.size - at);
    const piece = (from: number, length: number) =>
      this.bytes.subarray(this.start + from, this.start + from + length);
    return first === count ? [piece(at, count)] : [piece(at, first), piece(0, count - first)];
  }

  release(count: number): void {
    Atomics.store(this.words, this.control + TAIL, (this.tail + count) | 0);
  }

  #copyOut(tail: number, target: Uint8Array, from: number, count: number): void {
    const at = this.start + (tail & (this.size - 1));
    const first = Math.min(count, this.start + this.size - at);
    target.set(this.bytes.subarray(at, at + first), from);
    if (first < count) target.set(this.bytes.subarray(this.start, this.start + count - first), from + first);
  }

  setWantsData(wanted: boolean): void {
    Atomics.store(this.words, this.control + WANTS_DATA, wanted ? 1 : 0);
  }

  /** Returns true once per request of the consumer for data. */
  takeWantsData(): boolean {
    const index = this.control + WANTS_DATA;
    return Atomics.load(this.words, index) === 1 && Atomics.exchange(this.words, index, 0) === 1;
  }

  setWantsSpace(wanted: boolean): void {
    Atomics.store(this.words, this.control + WANTS_SPACE, wanted ? 1 : 0);
  }

  /** Returns true once per request of the producer for space, as soon as a quarter of the ring is free. */
  takeWantsSpace(): boolean {
    const index = this.control + WANTS_SPACE;
    if (Atomics.load(this.words, index) === 0 || this.writable < this.size / 4) return false;
    return Atomics.exchange(this.words, index, 0) === 1;
  }

  /** Bytes consumed since the agent last returned credit to the sending node. */
  get uncredited(): number {
    return (this.tail - (Atomics.load(this.words, this.control + CREDITED) >>> 0)) >>> 0;
  }

  /** Marks all consumed bytes as credited; returns the stream position. */
  takeCredit(): number {
    const tail = this.tail;
    Atomics.store(this.words, this.control + CREDITED, tail | 0);
    return tail;
  }
}
