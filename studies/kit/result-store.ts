import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { TrainerError } from 'locmoe/internal/errors';

interface Kept {
  /** Digest of all that the value depends on. */
  readonly key: string;
  readonly value: unknown;
}

/** A result with its name, from elsewhere. */
export interface Published extends Kept {
  readonly name: string;
}

/**
 * Finished parts of a study, one JSON file each, so that one that was stopped goes on. A part is reused only for the
 * same key: a changed recipe does it again.
 */
export class ResultStore {
  readonly #published: ReadonlyMap<string, Kept>;

  /** @param published results that may have been made on another machine; those of `directory` come first */
  constructor(
    readonly directory: string,
    published: readonly Published[] = [],
  ) {
    this.#published = new Map(published.map((each) => [each.name, each]));
  }

  /** The stored value; null if there is none or its key differs. */
  get<T>(name: string, key: unknown): T | null {
    const file = this.#file(name);
    const own = existsSync(file) ? valueFor<T>(key, readKept(file)) : null;
    return own ?? valueFor<T>(key, this.#published.get(name));
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

function valueFor<T>(key: unknown, kept: Kept | undefined): T | null {
  return kept?.key === digestOf(key) ? (kept.value as T) : null;
}

/** @throws TrainerError `BAD_INPUT` if the file is damaged */
function readKept(file: string): Kept {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    throw new TrainerError('BAD_INPUT', `${file}: no JSON; delete it, and its run is made again`);
  }
}

/** Returns the digest by which a stored part is recognized. */
export function digestOf(key: unknown): string {
  return createHash('sha256').update(JSON.stringify(key)).digest('hex');
}
