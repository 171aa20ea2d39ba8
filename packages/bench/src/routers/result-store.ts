import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { TrainerError } from 'locmoe/internal/errors';

/** Name and key of a part. */
export interface PartName {
  readonly name: string;
  /** Everything that its value depends on. */
  readonly key: unknown;
}

interface Kept {
  /** Digest of the part's key. */
  readonly key: string;
  readonly value: unknown;
}

/**
 * Finished parts of the comparison, one JSON file each, so that a stopped comparison continues. A part is
 * reused only for the same key: a changed recipe reruns it.
 */
export class ResultStore {
  readonly #published: ReadonlyMap<string, Kept>;

  /**
   * @param publishedFile parts that `publish` wrote, maybe on another machine; a part of `directory` comes first
   */
  constructor(
    readonly directory: string,
    publishedFile?: string,
  ) {
    this.#published = publishedFile === undefined ? new Map() : readPublished(publishedFile);
  }

  /** The stored value; null if there is none or its key differs. */
  get<T>(name: string, key: unknown): T | null {
    return this.getOwn<T>(name, key) ?? valueFor<T>(key, this.#published.get(name));
  }

  /** As `get`, but nothing that was published. */
  getOwn<T>(name: string, key: unknown): T | null {
    const file = this.#file(name);
    return existsSync(file) ? valueFor<T>(key, readKept(file)) : null;
  }

  /** Atomic, even if the process is killed. */
  put<T>(name: string, key: unknown, value: T): T {
    mkdirSync(this.directory, { recursive: true });
    writeWhole(this.#file(name), `${JSON.stringify({ key: digestOf(key), value })}\n`);
    return value;
  }

  /** Writes those of the parts that are stored as JSON lines; what else was published there stays, but for older ones of a name. */
  publish(file: string, parts: readonly PartName[]): void {
    const published = readPublished(file);
    for (const { name, key } of parts) {
      const value = this.get(name, key);
      if (value !== null) published.set(name, { key: digestOf(key), value });
    }
    if (published.size === 0) return;
    writeWhole(file, [...published].map(([name, kept]) => `${JSON.stringify({ name, ...kept })}\n`).join(''));
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

/** @throws TrainerError `BAD_INPUT` with the line of what is no JSON: people merge this file */
function readPublished(file: string): Map<string, Kept> {
  if (!existsSync(file)) return new Map();
  const lines = readFileSync(file, 'utf8').split('\n');
  return new Map(
    lines.flatMap((line, i) => {
      if (line === '') return [];
      try {
        const { name, ...kept } = JSON.parse(line);
        return [[name, kept]];
      } catch {
        throw new TrainerError(
          'BAD_INPUT',
          `${file}:${i + 1}: no JSON; delete the line, and its run is made again`,
        );
      }
    }),
  );
}

function writeWhole(file: string, text: string): void {
  writeFileSync(`${file}.tmp`, text);
  renameSync(`${file}.tmp`, file);
}

function digestOf(key: unknown): string {
  return createHash('sha256').update(JSON.stringify(key)).digest('hex');
}
