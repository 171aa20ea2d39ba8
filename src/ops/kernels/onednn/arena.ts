import { mapPrivate } from '../../../os/libc.js';

/** Memory of the arena, which must be given back. */
export interface Block {
  readonly buffer: ArrayBuffer;
  /** Start in the buffer, in bytes. */
  readonly begin: number;
  readonly end: number;
}

interface Slab {
  readonly buffer: ArrayBuffer;
  /** Free ranges in ascending order, no two of them adjacent. */
  readonly free: { begin: number; end: number }[];
}

const SLAB_BYTES = 32 << 20;
const HUGE_PAGE_BYTES = 2 << 20;
/** Size of a cache line and of the widest vector. */
const ALIGNMENT = 64;

/**
 * Memory for tensors outside V8's heap: V8 zeroes arrays when it creates them, and frees them only at a
 * collection. Memory that was given back is reused, and stays with the process.
 */
export class Arena {
  readonly #slabs: Slab[] = [];
  /** Bytes in use. */
  #used = 0;

  get usedBytes(): number {
    return this.#used;
  }

  /** Tells whether memory is of the arena, in use or not. */
  has(memory: ArrayBufferLike): boolean {
    return this.#slabs.some(({ buffer }) => buffer === memory);
  }

  /** @returns the smallest free range that is large enough, with arbitrary content */
  take(bytes: number): Block {
    const size = Math.max(ALIGNMENT, Math.ceil(bytes / ALIGNMENT) * ALIGNMENT);
    this.#used += size;
    let best: { slab: Slab; index: number; bytes: number } | undefined;
    for (const slab of this.#slabs)
      slab.free.forEach(({ begin, end }, index) => {
        if (end - begin >= size && (best === undefined || end - begin < best.bytes))
          best = { slab, index, bytes: end - begin };
      });
    const { slab, index } = best ?? { slab: this.#grow(size), index: 0 };
    const range = slab.free[index]!;
    const block = { buffer: slab.buffer, begin: range.begin, end: range.begin + size };
    range.begin += size;
    if (range.begin === range.end) slab.free.splice(index, 1);
    return block;
  }

  give({ buffer, begin, end }: Block): void {
    this.#used -= end - begin;
    const { free } = this.#slabs.find((slab) => slab.buffer === buffer)!;
    let index = free.findIndex((range) => range.begin > begin);
    if (index < 0) index = free.length;
    const [before, after] = [free[index - 1], free[index]];
    const joinsBefore = before?.end === begin;
    const joinsAfter = after?.begin === end;
    if (joinsBefore && joinsAfter) {
      before!.end = after!.end;
      free.splice(index, 1);
    } else if (joinsBefore) before!.end = end;
    else if (joinsAfter) after!.begin = begin;
    else free.splice(index, 0, { begin, end });
  }

  #grow(bytes: number): Slab {
    const size = Math.max(SLAB_BYTES, Math.ceil(bytes / HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES);
    const slab = { buffer: mapPrivate(size), free: [{ begin: 0, end: size }] };
    this.#slabs.push(slab);
    return slab;
  }
}
