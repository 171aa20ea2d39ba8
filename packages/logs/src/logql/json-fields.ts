import type { Extraction } from './ast.js';
import { JsonError, JsonScanner } from './json-scanner.js';
import type { PipelineLine } from './pipeline-line.js';

const MAX_DEPTH = 32;

/** Runs the stage `json`: extracts all fields, `{"a":{"b":1}}` as `a_b`, without arrays and nulls. */
export function extractJson(line: PipelineLine): void {
  scan(line, (json) => flatten(line, json, '', 0));
}

function flatten(line: PipelineLine, json: JsonScanner, prefix: string, depth: number): void {
  json.object((key) => {
    const name = prefix + labelName(key);
    const { next } = json;
    if (next === '{' && depth < MAX_DEPTH) flatten(line, json, `${name}_`, depth + 1);
    else {
      const value = json.value();
      if (next !== '{' && next !== '[' && next !== 'n') line.extract(name, value);
    }
  });
}

/** Compiles the stage `json name="path"`: as in Loki, a path that the line does not have gives an empty label. */
export function compileJsonPaths(extractions: readonly Extraction[]): (line: PipelineLine) => void {
  const paths = extractions.map(({ name, path }) => ({ name, keys: parseJsonPath(path)! }));
  return (line) => {
    if (line.text === '') return;
    if (!/^["{[]/.test(line.text)) {
      line.fail('JSONParserErr', 'the line is not JSON');
      return;
    }
    for (const { name, keys } of paths) {
      const value = valueAt(line.text, keys);
      if (value !== null) line.extract(name, value);
    }
    for (const { name } of paths) line.extractNothing(name);
  };
}

/**
 * Returns null if there is no such value. A line is parsed only as far as needed, whatever comes after it.
 */
function valueAt(text: string, keys: readonly (string | number)[]): string | null {
  const json = new JsonScanner(text);
  let found: string | null = null;
  const find = (depth: number) => {
    const { next } = json;
    if (depth === keys.length) {
      const value = json.value();
      found = next === 'n' ? '' : value;
      return;
    }
    const visit = (key: string | number) => {
      if (key === keys[depth]) find(depth + 1);
      else json.value();
      return found === null;
    };
    if (next === '{' && typeof keys[depth] === 'string') json.object(visit);
    else if (next === '[' && typeof keys[depth] === 'number') json.array(visit);
    else json.value();
  };
  try {
    find(0);
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
  }
  return found;
}

/** Runs the stage `unpack`: extracts the string fields of a packed line, whose original text is `_entry`. */
export function unpack(line: PipelineLine): void {
  if (line.text === '') return;
  if (!line.text.startsWith('{')) {
    line.fail('JSONParserErr', 'the line is not an object of JSON');
    return;
  }
  let entry: string | null = null;
  const fields: [string, string][] = [];
  const isObject = scan(line, (json) =>
    json.object((key) => {
      const isString = json.next === '"';
      const value = json.value();
      if (isString && key === '_entry') entry = value;
      else if (isString) fields.push([labelName(key), value]);
    }),
  );
  if (!isObject || entry === null) return;
  for (const [name, value] of fields) line.extract(name, value);
  line.text = entry;
}

/** Returns whether the line is a JSON object, and sets an error if it is not. */
function scan(line: PipelineLine, read: (json: JsonScanner) => void): boolean {
  try {
    read(new JsonScanner(line.text));
    return true;
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    line.fail('JSONParserErr', error.message);
    return false;
  }
}

/** Replaces characters that a label name cannot contain. */
export function labelName(key: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(key)) return key;
  const name = key.replace(/[^A-Za-z0-9_]/g, '_');
  return /^[0-9]/.test(name) ? `_${name}` : name;
}

const PART = /\.?([\p{L}_][\p{L}\p{N}_]*)|\[\s*(\d+)\s*\]|\[\s*("(?:[^"\\]|\\.)*")\s*\]/guy;

/** Splits `a.b[0]["c d"]` into keys and indexes; null for anything else. */
export function parseJsonPath(path: string): (string | number)[] | null {
  const text = path.trim();
  const parts: (string | number)[] = [];
  let at = 0;
  for (const [part, name, index, quoted = ''] of text.matchAll(PART)) {
    const isDotted = part.startsWith('.');
    if (name !== undefined && isDotted !== at > 0) return null;
    parts.push(index !== undefined ? Number(index) : (name ?? unquoted(quoted)));
    at += part.length;
  }
  return at === text.length && at > 0 ? parts : null;
}

function unquoted(text: string): string {
  return text.slice(1, -1).replace(/\\(.)/gs, '$1');
}
