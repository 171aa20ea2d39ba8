import { isMap, isNode, isScalar, LineCounter, parse, parseDocument, visit, type YAMLError } from 'yaml';
import { TrainerError } from '../errors.js';
import { isMapping, ownField } from './fields.js';

/** Overrides from the command line; `sets` are `key=value` with dotted keys and YAML values. */
export interface ConfigOverrides {
  readonly sets?: readonly string[];
  readonly nodes?: number | undefined;
  readonly workersPerNode?: number | undefined;
  readonly routes?: string | undefined;
}

export interface Problem {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/** A configuration in which what a field names (a file, a folder, a router) is filled in. */
export interface Named {
  readonly value: unknown;
  readonly problems: readonly Problem[];
}

/** A configuration before validation, with the origin of each field. */
export interface ConfigSource {
  readonly value: unknown;
  /** Returns file:line:column of a field or of the nearest section around it, or the option that set the field. */
  originOf(field: readonly PropertyKey[]): string;
  /** Tells whether an option set a field, a section around it, or a field within it. */
  isOverridden(field: readonly PropertyKey[]): boolean;
}

/** Far more than a configuration needs; a larger file is no configuration, and slow to parse. */
const MAX_CHARACTERS = 200_000;
/** The time to resolve one alias is proportional to the number of aliases. */
const MAX_ALIASES = 100;
/** One error can cause any number of others. */
const MAX_PROBLEMS = 20;
const MAX_SHOWN_CHARACTERS = 200;

/**
 * Parses YAML and applies the overrides; `label` names the file in messages.
 *
 * @throws TrainerError `BAD_CONFIG` with a line for each syntax error
 */
export function readSource(text: string, label: string, overrides: ConfigOverrides): ConfigSource {
  const { written, positionOf } = readYaml(text, label);
  const { value, origins } = applyOverrides(written, overrides);
  return {
    value,
    originOf: (field) => overrideOf(origins, field) ?? positionOf(field),
    isOverridden: (field) => overrideOf(origins, field) !== undefined,
  };
}

type Yaml = { readonly written: unknown; readonly positionOf: ConfigSource['originOf'] };

function readYaml(text: string, label: string): Yaml {
  try {
    return parseYaml(text, label);
  } catch (error) {
    if (error instanceof TrainerError) throw error;
    // The parser and its visitors recurse into each level.
    const what =
      error instanceof RangeError ? 'is nested too deeply' : `is no YAML (${(error as Error).message})`;
    throw badConfig([`${label}:1:1 ${what}`]);
  }
}

function parseYaml(text: string, label: string): Yaml {
  if (text.length > MAX_CHARACTERS)
    throw badConfig([`${label}:1:1 ${text.length} characters are too many for a configuration`]);
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    logLevel: 'error',
    // Quadratic; `faultyNodes` looks for duplicates instead.
    uniqueKeys: false,
  });
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${label}:${line}:${col}`;
  };
  if (document.errors.length > 0)
    throw badConfig(document.errors.map((error) => `${at(error.pos[0])} ${describeSyntax(error)}`));
  if (!isMap(document.contents))
    throw badConfig([`${label}:1:1 configuration: must have sections such as model: and train:`]);

  const nodeProblems = faultyNodes(document).map(({ offset, message }) => `${at(offset)} ${message}`);
  if (nodeProblems.length > 0) throw badConfig(nodeProblems);

  // All aliases share one value, so even many aliases take little memory.
  const written: unknown = document.toJS({ maxAliasCount: -1 });
  const positionOf = (field: readonly PropertyKey[]): string => {
    for (let length = field.length; length > 0; length--) {
      const node = document.getIn(field.slice(0, length), true);
      if (isNode(node) && node.range) return at(node.range[0]);
    }
    return at(0);
  };
  return { written, positionOf };
}

/** Returns an error with one line for each of the first problems; control characters of the file are replaced. */
export function badConfig(problems: readonly string[]): TrainerError {
  const lines = problems.slice(0, MAX_PROBLEMS).map(onOneLine);
  if (problems.length > MAX_PROBLEMS) lines.push(`and ${problems.length - MAX_PROBLEMS} more problems`);
  return new TrainerError('BAD_CONFIG', lines.join('\n'));
}

/** Cuts a name or value that may have any length. */
export function shortened(text: string): string {
  return text.length <= MAX_SHOWN_CHARACTERS ? text : `${text.slice(0, MAX_SHOWN_CHARACTERS)}...`;
}

function onOneLine(text: string): string {
  return text.replace(
    /[\p{C}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`,
  );
}

function describeSyntax({ code, message }: YAMLError): string {
  if (code === 'MULTIPLE_DOCS') return 'a second document begins here; a configuration is one';
  if (message.startsWith('Maximum call stack')) return 'is nested too deeply';
  return shortened(message);
}

function faultyNodes(document: Parameters<typeof visit>[0]): { offset: number; message: string }[] {
  const anchors = new Set<string>();
  const problems: { offset: number; message: string }[] = [];
  let count = 0;
  visit(document, {
    Alias(_, node) {
      const { source } = node;
      const offset = offsetOf(node);
      if (!anchors.has(source))
        problems.push({ offset, message: `*${shortened(source)}: no anchor of this name stands before it` });
      if (++count <= MAX_ALIASES) return undefined;
      problems.push({ offset, message: `more than ${MAX_ALIASES} aliases` });
      return visit.BREAK;
    },
    Value(_, node) {
      if (node.anchor !== undefined) anchors.add(node.anchor);
      if (!isMap(node)) return;
      const keys = new Set<unknown>();
      for (const { key } of node.items) {
        const value = isScalar(key) ? key.value : key;
        if (keys.has(value))
          problems.push({ offset: offsetOf(key), message: `${shortened(String(value))}: is there twice` });
        keys.add(value);
      }
    },
  });
  return problems;
}

function offsetOf(node: unknown): number {
  return isNode(node) ? (node.range?.[0] ?? 0) : 0;
}

interface Override {
  readonly keys: readonly string[];
  readonly origin: string;
}

/** Returns the last option that set a field, a section around it, or a field within it. */
function overrideOf(overrides: readonly Override[], field: readonly PropertyKey[]): string | undefined {
  return overrides.findLast(({ keys }) =>
    keys.every((key, depth) => depth >= field.length || key === String(field[depth])),
  )?.origin;
}

function applyOverrides(written: unknown, { sets, nodes, workersPerNode, routes }: ConfigOverrides) {
  const origins: Override[] = [];
  let value = written;
  const set = (name: string, field: unknown, option: string) => {
    const origin = `${shortened(option)}:`;
    const keys = keysOf(value, name.split('.'));
    value = withField(value, keys, field, origin);
    origins.push({ keys, origin });
  };
  for (const assignment of sets ?? []) {
    const split = assignment.indexOf('=');
    if (split < 1)
      throw badConfig([`--set ${shortened(assignment)}: expected key=value, e.g. train.steps=100`]);
    set(assignment.slice(0, split), parsedValue(assignment.slice(split + 1)), `--set ${assignment}`);
  }
  if (nodes !== undefined) set('cluster.nodes', nodes, `--nodes ${nodes}`);
  if (workersPerNode !== undefined)
    set('cluster.workersPerNode', workersPerNode, `--workers-per-node ${workersPerNode}`);
  if (routes !== undefined) set('train.routes', routes, `--routes ${routes}`);
  return { value, origins };
}

/** Parses YAML; text that is not valid YAML is taken literally. */
function parsedValue(text: string): unknown {
  try {
    return parse(text, { logLevel: 'error' });
  } catch {
    return text;
  }
}

/** Returns a copy of the section with the field set; the original may be shared by aliases. */
function withField(
  section: unknown,
  keys: readonly string[],
  field: unknown,
  origin: string,
  depth = 0,
): unknown {
  if (depth === keys.length) return field;
  const key = keys[depth]!;
  const refusal = (what: string) =>
    badConfig([`${origin} ${shortened(keys.slice(0, depth).join('.'))} ${what}`]);
  // A checkpoint holds an absent section as null.
  const fields = section ?? {};
  if (typeof fields !== 'object') throw refusal('is a value, not a section');
  if (Array.isArray(section) && !(/^\d+$/.test(key) && Number(key) <= section.length))
    throw refusal(`is a list, and ${shortened(key)} no position in it`);
  const value = withField(ownField(fields, key), keys, field, origin, depth + 1);
  return Array.isArray(section) ? Object.assign([...section], { [key]: value }) : { ...fields, [key]: value };
}

/** Joins the parts of a dotted name to keys: a key may have dots itself, as the name of a domain may. */
function keysOf(section: unknown, parts: readonly string[]): readonly string[] {
  if (parts.length === 0) return [];
  const named = !isMapping(section)
    ? 0
    : parts.findLastIndex((_, last) => Object.hasOwn(section, parts.slice(0, last + 1).join('.')));
  const numParts = Math.max(1, named + 1);
  const key = parts.slice(0, numParts).join('.');
  return [key, ...keysOf(ownField(section, key), parts.slice(numParts))];
}
