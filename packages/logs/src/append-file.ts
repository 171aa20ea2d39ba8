import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';

const NEWLINE = 0x0a;

/** An append-only text file. */
export class AppendFile {
  readonly #fd: number;
  /** Size of the file in bytes. */
  #size: number;

  /** Opens or creates the file, and ends a last line that was cut short by a kill or a power failure. */
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

  /** Appends text that ends with a newline, all or nothing. It then survives a kill of this process. */
  append(text: string): void {
    const bytes = Buffer.from(text);
    let done = 0;
    try {
      while (done < bytes.length) done += writeSync(this.#fd, bytes, done);
    } catch (error) {
      // Part of the text may have been written before the disk was full.
      if (done > 0) ftruncateSync(this.#fd, this.#size);
      throw error;
    }
    this.#size += done;
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/**
 * Whether a write failed because the disk or a quota is full, or the file is too large for the file system.
 */
export function isDiskFull(error: unknown): error is Error {
  return (
    error instanceof Error && 'code' in error && ['ENOSPC', 'EDQUOT', 'EFBIG'].includes(String(error.code))
  );
}
