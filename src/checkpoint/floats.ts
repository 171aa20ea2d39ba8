import { readSync } from 'node:fs';

/** Float32 numbers in an open file, readable by any thread of the process; they must stay there until they are read. */
export interface FileFloats {
  readonly fd: number;
  /** Position in the file in bytes. */
  readonly position: number;
  readonly length: number;
  readonly byteLength: number;
}

export function fileFloats(fd: number, position: number, length: number): FileFloats {
  return { fd, position, length, byteLength: 4 * length };
}

/** @throws Error of the file system, or if the file ends early */
export function readFloats(
  floats: FileFloats,
  into: Float32Array = new Float32Array(floats.length),
): Float32Array {
  const bytes = new Uint8Array(into.buffer, into.byteOffset, into.byteLength);
  for (let at = 0; at < bytes.length; ) {
    const read = readSync(floats.fd, bytes, at, bytes.length - at, floats.position + at);
    if (read === 0) throw new Error(`the file ends at byte ${floats.position + at}`);
    at += read;
  }
  return into;
}

/** Returns the index of the first NaN or infinity; -1 if there is none. */
export function firstNotFinite(data: Float32Array): number {
  // x * 0 is 0 for finite x, else NaN: one sum needs no branch per element.
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += data[i]! * 0;
  return Number.isNaN(sum) ? data.findIndex((value) => !Number.isFinite(value)) : -1;
}
