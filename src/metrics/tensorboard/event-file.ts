import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { encodeEvent, type TensorboardEvent } from './event.js';
import { tfRecord } from './tf-record.js';

/** An event file that TensorBoard can read while it grows. */
export class EventFile {
  readonly #fd: number;

  private constructor(readonly path: string) {
    // Never another's file: a name that exists is an error.
    this.#fd = openSync(path, 'ax');
  }

  /**
   * Begins a file in `folder`, named as TensorFlow does so that TensorBoard takes it for one.
   *
   * @throws the file system's error if it cannot be written
   */
  static create(folder: string, nowMs = Date.now()): EventFile {
    mkdirSync(folder, { recursive: true });
    const seconds = String(Math.floor(nowMs / 1000)).padStart(10, '0');
    const name = `events.out.tfevents.${seconds}.${hostname()}.${process.pid}`;
    const file = new EventFile(path.join(folder, name));
    file.append({ kind: 'version', timeMs: nowMs, step: 0 });
    return file;
  }

  /** Appends events with one write; they are in the kernel's hands when the call returns. */
  append(...events: readonly TensorboardEvent[]): void {
    const records = Buffer.concat(events.map((event) => tfRecord(encodeEvent(event))));
    // The first write to a full disk may take a part without an error.
    if (writeSync(this.#fd, records) < records.length)
      throw new Error(`${this.path}: the disk took only a part of the records`);
  }

  close(): void {
    closeSync(this.#fd);
  }
}
