import { TrainerError } from '../errors.js';
import { FLOATS_OF_VECTOR, MOST_PAGES } from './vector-kernel.js';

const PAGE_BYTES = 65536;
/** Arrays are aligned to cache lines. */
const LINE_BYTES = 64;
/** Addresses at this distance share a set of the L1 cache. */
const L1_PERIOD_BYTES = 4 << 10;
/** Likewise for the L2 cache, which has 2,048 sets of a line on Zen 4 and on Sapphire Rapids. */
const L2_PERIOD_BYTES = 128 << 10;

/**
 * Float32 arrays of equal length in one WebAssembly memory, on which vector kernels work in place. The memory
 * never grows, so the views stay valid. The operating system allocates a page when it is first written.
 */
export class FlatArrays<Arrays extends readonly Float32Array[] = readonly Float32Array[]> {
  readonly memory: WebAssembly.Memory;
  /** The bytes between two arrays are zero and must stay so. */
  readonly arrays: Arrays;
  /** One more vector for each array, for remainders that do not fill a vector. */
  readonly spares: Arrays;

  /**
   * @param length length of each array
   * @param isShared whether other threads can read the arrays; copying them then takes twice as long while in cache
   * @throws TrainerError `BAD_CONFIG` if the arrays exceed the largest WebAssembly memory
   */
  constructor(length: number, count: Arrays['length'], isShared = false) {
    const strideBytes = strideOf(4 * length, count);
    const arraysBytes = count * strideBytes;
    const spareBytes = 4 * FLOATS_OF_VECTOR;
    const numPages = Math.ceil((arraysBytes + count * spareBytes) / PAGE_BYTES);
    if (numPages > MOST_PAGES)
      throw new TrainerError(
        'BAD_CONFIG',
        `a rank would hold ${length} shared or expert parameters, and fewer than ` +
          `${Math.floor(2 ** 30 / count) - L2_PERIOD_BYTES} fit; make the model smaller, or spread experts over more ranks`,
      );
    this.memory = new WebAssembly.Memory({ initial: numPages, maximum: numPages, shared: isShared });
    const { buffer } = this.memory;
    const each = Array.from({ length: count });
    const views = (begin: number, stride: number, floats: number) =>
      each.map(
        (_, i) => new Float32Array(buffer, begin + i * stride, floats),
      ) as readonly Float32Array[] as Arrays;
    this.arrays = views(0, strideBytes, length);
    this.spares = views(arraysBytes, spareBytes, FLOATS_OF_VECTOR);
  }
}

/**
 * Returns the distance in bytes from the start of an array to that of the next. With large arrays, the same element of
 * each must lie in a different set of the caches: at a distance that is a power of two, they would evict each other,
 * and a pass over four arrays of 128 MiB would take four times as long.
 */
function strideOf(bytes: number, count: number): number {
  if (bytes < L2_PERIOD_BYTES) return LINE_BYTES * Math.ceil(bytes / LINE_BYTES);
  const apart = (L2_PERIOD_BYTES + L1_PERIOD_BYTES) / count;
  return L2_PERIOD_BYTES * Math.ceil(bytes / L2_PERIOD_BYTES) + LINE_BYTES * Math.floor(apart / LINE_BYTES);
}
