import type { Extraction } from './ast.js';
import type { PipelineLine } from './pipeline-line.js';

const MAX_DEPTH = 32;

/** The stage `json`: extracts all fields, `{"a":{"b":1}}` as `a_b`, without arrays and nulls. */
export function extractJson(line: PipelineLine): void {
  const value = parse(line);
  if (isObject(value)) flatten(line, '', value, 0);
}

/** The stage `json name="path"`. */
export function compileJsonPaths(extractions: readonly Extraction[]): (line: PipelineLine) => void {
  const paths = extractions.map(({ name, path }) => ({ name, keys: parsePath(path) }));
  return (line) => {
    const root = parse(line);
    if (root === undefined) return;
    for (const { name, keys } of paths) {
      let value: unknown = root;
      for (const key of keys)
        value =
          typeof value === 'object' && value !== null && Object.hasOwn(value, key)
            ? (value as Record<string, unknown>)[key]
            : undefined;
      if (value !== undefined && value !== null)
        line.extract(name, typeof value === 'object' ? JSON.stringify(value) : String(value));
    }
  };
}

/** Splits `a.b[0]["c d"]` into keys. */
function parsePath(path: string): string[] {
  return [...path.matchAll(/\[\s*"((?:[^"\\]|\\.)*)"\s*\]|\[\s*(\d+)\s*\]|([^.[\]]+)/g)].map(
    ([, quoted, index, name]) => quoted?.replace(/\\(.)/g, '$1') ?? index ?? name.trim(),
  );
}

function parse(line: PipelineLine): unknown {
  try {
    const value: unknown = JSON.parse(line.text);
    if (isObject(value)) return value;
    line.fail('JSONParserErr', 'the line is JSON but no object');
  } catch (error) {
    line.fail('JSONParserErr', (error as Error).message.slice(0, 200));
  }
  return undefined;
}

function flatten(line: PipelineLine, prefix: string, object: Record<string, unknown>, depth: number): void {
  for (const key of Object.keys(object)) {
    const value = object[key];
    const name = prefix + labelName(key);
    if (isObject(value)) {
      if (depth < MAX_DEPTH) flatten(line, `${name}_`, value, depth + 1);
    } else if (value !== null && typeof value !== 'object') line.extract(name, String(value));
  }
}

/** Replaces characters that a label name cannot contain. */
export function labelName(key: string): string {
  const name = key.replace(/[^A-Za-z0-9_]/g, '_');
  return /^[0-9]/.test(name) ? `_${name}` : name;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
