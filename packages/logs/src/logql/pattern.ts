import type { LogsError } from '../errors.js';
import type { PipelineLine } from './pipeline-line.js';

/** Texts and captures; a capture without a name (`<_>`) has the name null. */
export type PatternPart = { readonly text: string } | { readonly name: string | null };

type Fail = (message: string) => LogsError;

function split(pattern: string): PatternPart[] {
  return pattern.split(/<([A-Za-z_]\w*)>/).flatMap((part, i): PatternPart[] => {
    if (i % 2 === 1) return [{ name: part === '_' ? null : part }];
    return part === '' ? [] : [{ text: part }];
  });
}

/** Parses the pattern of the stage `pattern`: `<ip> - <_> "<method> <path>"`. */
export function parsePattern(pattern: string, fail: Fail): PatternPart[] {
  const parts = split(pattern);
  const names = parts.flatMap((part) => ('name' in part && part.name !== null ? [part.name] : []));
  if (names.length === 0) throw fail('at least one capture is required: <name>');
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) throw fail(`duplicate capture name <${twice}>`);
  assertApart(parts, fail);
  return parts;
}

export function parseLinePattern(pattern: string, fail: Fail): PatternPart[] {
  const parts = split(pattern);
  if (parts.some((part) => 'name' in part && part.name !== null))
    throw fail('named captures are not allowed here: use <_>');
  assertApart(parts, fail);
  return parts;
}

function assertApart(parts: readonly PatternPart[], fail: Fail): void {
  if (parts.some((part, i) => i > 0 && 'name' in part && 'name' in parts[i - 1]!))
    throw fail('consecutive captures are not allowed: put a text between them');
}

/**
 * Extracts the captures of a line that begins like the pattern. If a text of the pattern does not occur, the
 * capture before it takes the rest of the line.
 */
export function extractPattern(line: PipelineLine, parts: readonly PatternPart[]): void {
  let rest = line.text;
  if (rest === '') return;
  let name: string | null | undefined;
  for (const part of parts) {
    if ('name' in part) {
      name = part.name;
      continue;
    }
    const found = rest.indexOf(part.text);
    // Text before the first capture must match at the start.
    if (name === undefined && found !== 0) return;
    if (typeof name === 'string') line.extract(name, found < 0 ? rest : rest.slice(0, found));
    if (found < 0) return;
    rest = rest.slice(found + part.text.length);
    name = null;
  }
  if (typeof name === 'string') line.extract(name, rest);
}
