import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/**
 * Finished pieces of the comparison, a JSON file each, so that a comparison that was stopped goes on where it was. A
 * piece is only taken again for the same key: change the recipe, and its runs are made anew.
 */
export class ResultStore {
  constructor(readonly directory: string) {
    mkdirSync(directory, { recursive: true });
  }

  /** The kept value; null if there is none, or one that was made for another key. */
  get<T>(name: string, key: unknown): T | null {
    const file = this.#file(name);
    if (!existsSync(file)) return null;
    const kept: { key: string; value: T } = JSON.parse(readFileSync(file, 'utf8'));
    return kept.key === digestOf(key) ? kept.value : null;
  }

  /** Whole or not at all, whenever the process ends. */
  put<T>(name: string, key: unknown, value: T): T {
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
