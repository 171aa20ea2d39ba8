import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';

const NEWLINE = 0x0a;

/** A file of lines that only grows. */
export class AppendFile {
  readonly #fd: number;
  /** Bytes. */
  #size: number;

  /** Opens or makes the file. A last line that a kill or a power failure cut short gets its end, so that the next is its own. */
  constructor(path: string) {
    this.#fd = openSync(path, 'a+');
    this.#size = fstatSync(this.#fd).size;
    try {
      const last = Buffer.alloc(1);
      if (this.#size > 0 && readSync(this.#fd, last, 0, 1, this.#size - 1) === 1 && last[0] !== NEWLINE)
        this.append('\n');
    } catch (error) {
      this.close();
      throw error;
    }
  }

  get size(): number {
    return this.#size;
  }

  /** Appends text that ends with a newline, all of it or nothing; it is in the kernel's hands when the call returns. */
  append(text: string): void {
    const bytes = Buffer.from(text);
    let done = 0;
    try {
      while (done < bytes.length) done += writeSync(this.#fd, bytes, done);
    } catch (error) {
      // A disk that fills up takes a part before it refuses the rest.
      if (done > 0) ftruncateSync(this.#fd, this.#size);
      throw error;
    }
    this.#size += done;
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** Whether the file system refused to write because the disk, a quota or the largest file it allows is full. */
export function isDiskFull(error: unknown): error is Error {
  return (
    error instanceof Error && 'code' in error && ['ENOSPC', 'EDQUOT', 'EFBIG'].includes(String(error.code))
  );
}
