import { existsSync, realpathSync, type Stats, statSync } from 'node:fs';
import path from 'node:path';
import { globSync } from 'tinyglobby';
import { TrainerError } from '../errors.js';
import type { TextSource } from './text-source.js';

export interface SourceFile {
  /** Absolute. */
  readonly file: string;
  readonly bytes: number;
  readonly mtimeMs: number;
}

/**
 * The files of a domain, in the order of their names, without the empty ones; each once, by its shortest name where
 * links lead to it too.
 *
 * @throws TrainerError `BAD_INPUT` if a pattern matches nothing, or a file cannot be looked at
 */
export function listFiles(domain: string, source: TextSource): SourceFile[] {
  const files = source.files.flatMap((pattern) => filesOf(domain, source, pattern));
  // The last of equal keys stays.
  const byPlace = new Map(
    files.sort((a, b) => b.length - a.length).map((file) => [placeOf(domain, file), file]),
  );
  return [...byPlace.values()]
    .sort()
    .map((file): SourceFile => {
      const { size, mtimeMs } = statOf(domain, file);
      return { file, bytes: size, mtimeMs };
    })
    .filter(({ bytes }) => bytes > 0);
}

function filesOf(domain: string, { folder, instruct }: TextSource, pattern: string): string[] {
  // A name that has characters of a pattern in it.
  const literal = path.resolve(folder, pattern);
  if (existsSync(literal)) {
    if (!statOf(domain, literal).isDirectory()) return [literal];
    const example = `${pattern}/**/*.${instruct === undefined ? 'txt' : 'jsonl'}`;
    throw refusal(domain, `${literal} is a folder; say which files in it, e.g. ${example}`);
  }
  const found = existsSync(folder)
    ? globSync(pattern, {
        cwd: folder,
        absolute: true,
        dot: false,
        onlyFiles: true,
        expandDirectories: false,
      })
    : [];
  if (found.length === 0) throw refusal(domain, `no file matches ${JSON.stringify(pattern)} in ${folder}`);
  return found;
}

function placeOf(domain: string, file: string): string {
  try {
    return realpathSync.native(file);
  } catch (error) {
    throw unreadable(domain, file, error);
  }
}

function statOf(domain: string, file: string): Stats {
  try {
    return statSync(file);
  } catch (error) {
    throw unreadable(domain, file, error);
  }
}

function unreadable(domain: string, file: string, error: unknown): TrainerError {
  return refusal(domain, `${file} cannot be read (${(error as Error).message})`, error);
}

function refusal(domain: string, what: string, cause?: unknown): TrainerError {
  return new TrainerError('BAD_INPUT', `domain ${domain}: ${what}`, {}, { cause });
}
