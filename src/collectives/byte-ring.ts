/** 32-bit words that one ring's control takes: three cache lines (producer, consumer, agent). */
export const RING_CONTROL_WORDS = 48;

const HEAD = 0;
const WANTS_SPACE = 1;
const TAIL = 16;
const WANTS_DATA = 17;
const CREDITED = 32;

/**
 * A ring of bytes with one producer and one consumer, possibly in different processes.
 *
 * `head` counts the bytes ever written and `tail` the bytes ever read, both modulo 2^32; each is stored by one side
 * only. A flag that one side sets asks the other to ring its doorbell: `wantsData` by a consumer that found
 * nothing, `wantsSpace` by a producer that found no room.
 */
export class ByteRing {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #control: number;
  readonly #start: number;

  constructor(
    words: Int32Array,
    bytes: Uint8Array,
    control: number,
    start: number,
    readonly size: number,
  ) {
    this.#words = words;
    this.#bytes = bytes;
    this.#control = control;
    this.#start = start;
  }

  get head(): number {
    return Atomics.load(this.#words, this.#control + HEAD) >>> 0;
  }

  get tail(): number {
    return Atomics.load(this.#words, this.#control + TAIL) >>> 0;
  }

  get readable(): number {
    return (this.head - this.tail) >>> 0;
  }

  get writable(): number {
    return this.size - this.readable;
  }

  /** Copies as much of `source` from byte `from` as there is room for; returns the number of bytes. */
  write(source: Uint8Array, from: number): number {
    const head = this.head;
    const room = this.size - ((head - this.tail) >>> 0);
    const count = Math.min(room, source.length - from);
    if (count === 0) return 0;
    const at = head & (this.size - 1);
    const first = Math.min(count, this.size - at);
    this.#bytes.set(source.subarray(from, from + first), this.#start + at);
    if (first < count) this.#bytes.set(source.subarray(from + first, from + count), this.#start);
    Atomics.store(this.#words, this.#control + HEAD, (head + count) | 0);
    return count;
  }

  /** Fills `target` from byte `from` with what there is; returns the number of bytes. */
  read(target: Uint8Array, from: number): number {
    const tail = this.tail;
    const count = Math.min((this.head - tail) >>> 0, target.length - from);
    if (count === 0) return 0;
    this.#copyOut(tail, target, from, count);
    Atomics.store(this.#words, this.#control + TAIL, (tail + count) | 0);
    return count;
  }

  /** Copies `target.length` bytes that must be there, without consuming them. */
  peek(target: Uint8Array): void {
    this.#copyOut(this.tail, target, 0, target.length);
  }

  #copyOut(tail: number, target: Uint8Array, from: number, count: number): void {
    const at = this.#start + (tail & (this.size - 1));
    const first = Math.min(count, this.#start + this.size - at);
    target.set(this.#bytes.subarray(at, at + first), from);
    if (first < count)
      target.set(this.#bytes.subarray(this.#start, this.#start + count - first), from + first);
  }

  setWantsData(wanted: boolean): void {
    Atomics.store(this.#words, this.#control + WANTS_DATA, wanted ? 1 : 0);
  }

  /** True once for each time the consumer asked for data. */
  takeWantsData(): boolean {
    const index = this.#control + WANTS_DATA;
    return Atomics.load(this.#words, index) === 1 && Atomics.exchange(this.#words, index, 0) === 1;
  }

  setWantsSpace(wanted: boolean): void {
    Atomics.store(this.#words, this.#control + WANTS_SPACE, wanted ? 1 : 0);
  }

  /** True once for each time the producer asked for space, as soon as a quarter of the ring is free. */
  takeWantsSpace(): boolean {
    const index = this.#control + WANTS_SPACE;
    if (Atomics.load(this.#words, index) === 0 || this.writable < this.size / 4) return false;
    return Atomics.exchange(this.#words, index, 0) === 1;
  }

  /** Bytes consumed since the agent last returned credit to the sending node. */
  get uncredited(): number {
    return (this.tail - (Atomics.load(this.#words, this.#control + CREDITED) >>> 0)) >>> 0;
  }

  /** Marks everything consumed so far as credited and returns the position. */
  takeCredit(): number {
    const tail = this.tail;
    Atomics.store(this.#words, this.#control + CREDITED, tail | 0);
    return tail;
  }
}
