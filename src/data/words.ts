/** A list of 32-bit words that grows, in one block of memory. */
export class Words {
  #words = new Uint32Array(1 << 16);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  append(words: ArrayLike<number>): void {
    const length = this.#length + words.length;
    if (length > this.#words.length) {
      const larger = new Uint32Array(Math.max(length, 2 * this.#words.length));
      larger.set(this.all());
      this.#words = larger;
    }
    this.#words.set(words, this.#length);
    this.#length = length;
  }

  all(): Uint32Array {
    return this.#words.subarray(0, this.#length);
  }
}
