import { existsSync, realpathSync, statSync } from 'node:fs';
import path from 'node:path';
import { isOfKernel, kindOf } from '@locmoe/run-format/regular-file';
import { globSync } from 'tinyglobby';
import { TrainerError } from '../../errors.js';
import type { TextSource } from './text-source.js';

/** Folders of devices, and of files that the kernel generates when they are read. */
const NO_TEXT = ['/dev/**', '/proc/**', '/sys/**'];

export interface SourceFile {
  /** Absolute path. */
  readonly file: string;
  readonly bytes: number;
  readonly mtimeMs: number;
}

/**
 * Returns the files of a domain, sorted by name, without empty ones; a file that links lead to is listed once, by its
 * shortest name.
 *
 * @throws TrainerError `BAD_INPUT` if a pattern matches nothing, or matches something that is not a regular
 *   file or cannot be accessed
 */
export function listFiles(domain: string, source: TextSource): SourceFile[] {
  const files = source.files.flatMap((pattern) => filesOf(domain, source, pattern));
  // The last and thus shortest name of equal keys is kept.
  const byPlace = new Map(
    files
      .sort((a, b) => b.length - a.length)
      .map((file) => [lookAt(domain, file, realpathSync.native), file]),
  );
  return [...byPlace.values()]
    .sort()
    .map((file): SourceFile => {
      const stats = lookAt(domain, file, (place) => statSync(place));
      const other = kindOf(stats);
      if (other !== null) throw refusal(domain, `${file} is no regular file but ${other}`);
      return { file, bytes: stats.size, mtimeMs: stats.mtimeMs };
    })
    .filter(({ bytes }) => bytes > 0);
}

function filesOf(domain: string, { folder, instruct }: TextSource, pattern: string): string[] {
  // The name of a file or folder may have characters that are special in patterns.
  const literal = path.resolve(folder, pattern);
  if (existsSync(literal)) {
    if (!lookAt(domain, literal, (place) => statSync(place)).isDirectory()) {
      if (isOfKernel(literal)) throw refusal(domain, `${literal} is a file that the kernel makes`);
      return [literal];
    }
    const example = `${pattern}/**/*.${instruct === undefined ? 'txt' : 'jsonl'}`;
    throw refusal(domain, `${literal} is a folder; say which files in it, e.g. ${example}`);
  }
  // Each folder that the wildcards match would be walked again from its parent.
  if (/[*?[{(].*[/{,(|]\.\.(?:$|[/},)|])/.test(pattern))
    throw refusal(
      domain,
      `${JSON.stringify(pattern)} has .. after a wildcard; begin with the folder instead`,
    );
  const base = path.resolve(folder, /^(?:[^*?[\]{}()!+@]*\/)?/.exec(pattern)![0]);
  if (existsSync(base) && isOfKernel(base))
    throw refusal(domain, `${JSON.stringify(pattern)} is of files that the kernel makes; name files of text`);
  const found = existsSync(folder)
    ? globSync(pattern, {
        cwd: folder,
        absolute: true,
        dot: false,
        ignore: NO_TEXT,
        onlyFiles: true,
        expandDirectories: false,
      })
    : [];
  if (found.length === 0) throw refusal(domain, `no file matches ${JSON.stringify(pattern)} in ${folder}`);
  return found;
}

function lookAt<T>(domain: string, file: string, look: (file: string) => T): T {
  try {
    return look(file);
  } catch (error) {
    throw refusal(domain, `${file} cannot be read (${(error as Error).message})`, error);
  }
}

function refusal(domain: string, what: string, cause?: unknown): TrainerError {
  return new TrainerError('BAD_INPUT', `domain ${domain}: ${what}`, {}, { cause });
}
