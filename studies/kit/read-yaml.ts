import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

export const STUDIES = fileURLToPath(new URL('..', import.meta.url));

/**
 * Reads data of a study, written by people.
 *
 * @param file path relative to the folder of the studies
 */
export function readYaml<T>(file: string): T {
  return parse(readFileSync(path.resolve(STUDIES, file), 'utf8'), { merge: true });
}
