import { TrainerError } from '../errors.js';
import { FLOATS_OF_VECTOR } from './vector-kernel.js';

const PAGE_BYTES = 65536;
/** What 32 bits can address. */
const MOST_PAGES = 65536;
/** Arrays start at cache lines. */
const LINE_FLOATS = 16;

/**
 * Float32 arrays of one length that vector kernels work on in place: they lie in one WebAssembly memory, which never
 * grows, so they stay valid for good. A page takes no memory of the machine before it is first written to.
 */
export class FlatArrays {
  readonly memory: WebAssembly.Memory;
  readonly arrays: readonly Float32Array[];
  /** From the start of one array to that of the next; what lies behind an array's last element is zero. */
  readonly strideBytes: number;
  /** Behind the arrays, a vector for each: for elements that fill no whole vector. */
  readonly spares: readonly Float32Array[];

  /**
   * @param length of each array
   * @throws TrainerError `BAD_CONFIG` if they are larger than a WebAssembly memory can be
   */
  constructor(length: number, count: number) {
    this.strideBytes = 4 * LINE_FLOATS * Math.ceil(length / LINE_FLOATS);
    const arraysBytes = count * this.strideBytes;
    const spareBytes = 4 * FLOATS_OF_VECTOR;
    const numPages = Math.ceil((arraysBytes + count * spareBytes) / PAGE_BYTES);
    if (numPages > MOST_PAGES)
      throw new TrainerError(
        'BAD_CONFIG',
        `a rank would hold ${length} shared or expert parameters, and fewer than ${Math.floor(2 ** 30 / count)} fit; make the model smaller, or spread experts over more ranks`,
      );
    this.memory = new WebAssembly.Memory({ initial: numPages, maximum: numPages });
    const { buffer } = this.memory;
    const each = Array.from({ length: count });
    this.arrays = each.map((_, i) => new Float32Array(buffer, i * this.strideBytes, length));
    this.spares = each.map(
      (_, i) => new Float32Array(buffer, arraysBytes + i * spareBytes, FLOATS_OF_VECTOR),
    );
  }
}
