import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/**
 * Finished parts of the comparison, one JSON file each, so that a stopped comparison continues. A part is
 * reused only for the same key: a changed recipe reruns it.
 */
export class ResultStore {
  constructor(readonly directory: string) {}

  /** The stored value; null if there is none or its key differs. */
  get<T>(name: string, key: unknown): T | null {
    const file = this.#file(name);
    if (!existsSync(file)) return null;
    const kept: { key: string; value: T } = JSON.parse(readFileSync(file, 'utf8'));
    return kept.key === digestOf(key) ? kept.value : null;
  }

  /** Atomic, even if the process is killed. */
  put<T>(name: string, key: unknown, value: T): T {
    mkdirSync(this.directory, { recursive: true });
    const file = this.#file(name);
    writeFileSync(`${file}.tmp`, `${JSON.stringify({ key: digestOf(key), value })}\n`);
    renameSync(`${file}.tmp`, file);
    return value;
  }

  #file(name: string): string {
    return path.join(this.directory, `${name}.json`);
  }
}

function digestOf(key: unknown): string {
  return createHash('sha256').update(JSON.stringify(key)).digest('hex');
}
