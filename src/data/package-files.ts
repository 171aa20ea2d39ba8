import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

export interface SourceText {
  readonly text: string;
  /** File inside the package. */
  readonly file: string;
}

/** A text source: an installed package, whose folder `read` gets. */
export interface Source {
  readonly packageName: string;
  readonly read: (folder: string) => Iterable<SourceText> | Promise<Iterable<SourceText>>;
}

/** The files below `folder/subfolder` whose path matches, in the order of their names. */
export function filesOf(folder: string, subfolder: string, pattern: RegExp): SourceText[] {
  return readdirSync(path.join(folder, subfolder), { recursive: true, encoding: 'utf8' })
    .map((name) => path.posix.join(subfolder, name.split(path.sep).join('/')))
    .filter((file) => pattern.test(file) && !file.includes('/node_modules/'))
    .sort()
    .map((file) => ({ text: readFileSync(path.join(folder, file), 'utf8'), file }));
}

export function flatMap(files: readonly SourceText[], extract: (text: string) => string[]): SourceText[] {
  return files.flatMap(({ text, file }) => extract(text).map((part) => ({ text: part, file })));
}
