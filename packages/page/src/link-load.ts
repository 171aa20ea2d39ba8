import type { LinkBytes } from '@locmoe/run-format/row-traffic';
import type { LinksReply } from './api-types.js';

/** Maximum number of places; larger matrices are not drawn. */
const MOST_PLACES = 32;

/** The state without the sums, as JSON. */
export type LinkFrame = (Pick<LinkBytes, 'between' | 'numNodes'> & { readonly size: number }) | null;

/**
 * Bytes by link over time, summed over the same buckets of steps as the load of the experts. Only the last
 * layout of the run is kept.
 */
export class LinkLoad {
  #frame: LinkFrame = null;
  /** Shape [buckets, 1 + size x size]: number of steps, then the bytes from each place to each place. */
  #sums = new Float64Array(0);

  constructor(private readonly maxBuckets: number) {}

  add(bucket: number, { between, numNodes, bytes }: LinkBytes): void {
    const size = bytes.length;
    if (size > MOST_PLACES) return;
    const known = this.#frame;
    if (known?.size !== size || known.between !== between || known.numNodes !== numNodes) {
      this.#frame = { between, numNodes, size };
      this.#sums = new Float64Array(this.maxBuckets * (1 + size * size));
    }
    const sums = this.#rowOf(bucket);
    sums[0]!++;
    bytes.forEach((toEach, from) => {
      toEach.forEach((each, to) => {
        sums[1 + from * size + to]! += each;
      });
    });
  }

  /** Merges pairs of buckets. @param numAfter number of buckets that are left */
  widen(numAfter: number): void {
    if (this.#frame === null) return;
    for (let bucket = 0; bucket < this.maxBuckets; bucket++) {
      const sums = this.#rowOf(bucket);
      if (bucket >= numAfter) sums.fill(0);
      else {
        const [even, odd] = [this.#rowOf(2 * bucket), this.#rowOf(2 * bucket + 1)];
        for (let i = 0; i < sums.length; i++) sums[i] = even[i]! + odd[i]!;
      }
    }
  }

  reply(buckets: readonly number[]): LinksReply | null {
    if (this.#frame === null) return null;
    const { between, numNodes, size } = this.#frame;
    const bytes = buckets.map((bucket) => {
      const [steps = 0, ...sums] = this.#rowOf(bucket);
      if (steps === 0) return null;
      return Array.from({ length: size }, (_, from) =>
        sums.slice(from * size, (from + 1) * size).map((sum) => Math.round(sum / steps)),
      );
    });
    return { between, numNodes, bytes };
  }

  save(): { readonly frame: LinkFrame; readonly bytes: Buffer } {
    const { buffer, byteOffset, byteLength } = this.#sums;
    return { frame: this.#frame, bytes: Buffer.from(buffer, byteOffset, byteLength) };
  }

  restore(frame: LinkFrame, bytes: Buffer): void {
    this.#frame = frame;
    this.#sums = new Float64Array(bytes.length / Float64Array.BYTES_PER_ELEMENT);
    bytes.copy(Buffer.from(this.#sums.buffer));
  }

  #rowOf(bucket: number): Float64Array {
    const length = 1 + (this.#frame?.size ?? 0) ** 2;
    return this.#sums.subarray(bucket * length, (bucket + 1) * length);
  }
}
