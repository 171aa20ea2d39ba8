/** Greatest share of slots that may be full. */
const MAX_LOAD = 0.75;

/**
 * A set of 64-bit hashes in a table of fixed size: open addressing with linear probing, where a slot stores
 * only those bits of a hash that its position does not imply. The probability that a hash is falsely found is
 * about 10 in 2^bits. Takes bits/6 bytes for each element of the capacity.
 */
export class CompactSet {
  readonly #slots: Uint16Array | Uint32Array;
  readonly #fingerprints: number;
  #room: number;

  /** @param capacity number of elements; further ones are not added */
  constructor(capacity: number, bits: 16 | 32) {
    const numSlots = Math.ceil(capacity / MAX_LOAD) + 1;
    this.#slots = bits === 16 ? new Uint16Array(numSlots) : new Uint32Array(numSlots);
    this.#fingerprints = 2 ** bits - 1;
    this.#room = capacity;
  }

  has(high: number, low: number): boolean {
    return this.#slots[this.#slotOf(high, low)] !== 0;
  }

  add(high: number, low: number): void {
    const slot = this.#slotOf(high, low);
    if (this.#slots[slot] !== 0 || this.#room === 0) return;
    this.#slots[slot] = this.#fingerprintOf(low);
    this.#room--;
  }

  /** Returns the slot that holds the hash, or the empty slot where it would be stored. */
  #slotOf(high: number, low: number): number {
    const slots = this.#slots;
    const fingerprint = this.#fingerprintOf(low);
    let slot = Math.floor(((high >>> 0) / 2 ** 32) * slots.length);
    while (slots[slot] !== 0 && slots[slot] !== fingerprint) slot = slot + 1 === slots.length ? 0 : slot + 1;
    return slot;
  }

  /** Returns the stored bits of a hash; never 0, which marks an empty slot. */
  #fingerprintOf(low: number): number {
    return ((low >>> 0) % this.#fingerprints) + 1;
  }
}
