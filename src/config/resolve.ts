import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { readRegularFile } from '@locmoe/run-format/regular-file';
import type { z } from 'zod';
import { TrainerError } from '../errors.js';
import { crossFieldProblems } from './cross-field.js';
import { badConfig, type ConfigOverrides, type Problem, readSource, shortened } from './document.js';
import { FAMILIES, isOfFamily } from './model-schema.js';
import { namePlacement } from './named-placement.js';
import { nameRouter } from './named-router.js';
import { nameRoutes } from './named-routes.js';
import { nameSources } from './named-sources.js';
import { nameTokenizer } from './named-tokenizer.js';
import { didYouMean } from './nearest.js';
import { configFields, type FieldReference } from './reference.js';
import { type RunConfig, runSchema } from './schema.js';

const RECIPES_DIR = fileURLToPath(new URL('../../configs', import.meta.url));

/** Returns the names of the recipes in configs/. */
export function recipeNames(): string[] {
  return readdirSync(RECIPES_DIR)
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => path.basename(file, '.yaml'))
    .sort();
}

/** Returns the path of the recipe of this name, which may not exist. */
export function recipeFile(name: string): string {
  return path.join(RECIPES_DIR, `${name}.yaml`);
}

const MAX_CONFIG_BYTES = 16 << 20;

/**
 * Loads a recipe by name or a YAML (or JSON) file by path: applies overrides, fills in defaults, validates.
 *
 * @throws TrainerError `BAD_CONFIG` listing every problem, each with file:line:column or the `--set` that caused it.
 */
export function loadConfig(source: string, overrides: ConfigOverrides = {}): RunConfig {
  const file = existsSync(source) ? source : recipeFile(source);
  if (!existsSync(file))
    throw new TrainerError(
      'BAD_CONFIG',
      `--config ${source}: no such file, and no recipe of that name (recipes: ${recipeNames().join(', ')})` +
        didYouMean(source, recipeNames()),
    );
  let text: string;
  try {
    text = readRegularFile(file, MAX_CONFIG_BYTES).toString('utf8');
  } catch (error) {
    throw new TrainerError('BAD_CONFIG', `--config ${source}: cannot be read (${(error as Error).message})`);
  }
  return resolveConfig(text, path.relative(process.cwd(), file) || file, overrides);
}

/** Works as `loadConfig`, from a text; `label` names the file in messages, and relative paths start at its folder. */
export function resolveConfig(text: string, label: string, overrides: ConfigOverrides = {}): RunConfig {
  const source = readSource(text, label, overrides);
  const base = path.dirname(path.resolve(label));
  const named = nameSources(source, base);
  const tokenized = nameTokenizer(named.value, source, base);
  const placed = namePlacement(tokenized.value, source, base);
  const replayed = nameRoutes(placed.value, source, base);
  const { value, problems: routerProblems, issues } = nameRouter(replayed.value, source, base);
  const parsed = runSchema.safeParse(value, { reportInput: true });
  const problems = [
    ...tokenized.problems,
    ...placed.problems,
    ...replayed.problems,
    ...routerProblems,
    ...schemaProblems([...issues, ...(parsed.error?.issues ?? [])]),
    ...crossFieldProblems(value),
  ];
  if (parsed.success && problems.length === 0) return parsed.data;
  throw badConfig(
    problems.map(({ path: resolved, message }) => {
      const field = named.writtenAt(resolved);
      const name = shortened(field.join('.')) || 'configuration';
      return `${source.originOf(field)} ${name}: ${message}`;
    }),
  );
}

/** Keeps the first problem of each field. */
function schemaProblems(issues: readonly z.core.$ZodIssue[]): Problem[] {
  const problems = new Map<string, Problem>();
  const names = issues.some(({ code }) => code === 'unrecognized_keys') ? configFields() : [];
  for (const problem of issues.flatMap((issue) => problemsOf(issue, names))) {
    const field = problem.path.join('.');
    if (!problems.has(field)) problems.set(field, problem);
  }
  return [...problems.values()];
}

function problemsOf(issue: z.core.$ZodIssue, fields: readonly FieldReference[]): Problem[] {
  return issue.code === 'unrecognized_keys'
    ? issue.keys.map((key) => ({
        path: [...issue.path, key],
        message: ofOtherFamily(issue, key) ?? `unknown key${meantField(issue.path, key, fields)}`,
      }))
    : [{ path: issue.path, message: describeIssue(issue) }];
}

/** Says which families have the field, if the model's family has not. */
function ofOtherFamily({ path: [section], input }: z.core.$ZodIssue, key: string): string | undefined {
  if (section !== 'model') return undefined;
  const [other] = Object.keys(FAMILIES).filter((family) => isOfFamily(family as keyof typeof FAMILIES, key));
  const { family } = input as { readonly family: string };
  return other && `is for model.family ${other} alone, and this is ${family}; leave it out`;
}

/** Suggests the field of the same section with a similar name, or of another section with the same name. */
function meantField(section: readonly PropertyKey[], key: string, fields: readonly FieldReference[]): string {
  const names = fields.map(({ path: field }) => field);
  const siblings = names.filter((field) => field.slice(0, -1).join('.') === section.join('.'));
  const near = didYouMean(
    key,
    siblings.map((field) => field.at(-1)!),
  );
  if (near !== '') return near;
  const elsewhere = names.find((field) => field.length === 2 && field[1] === key);
  return elsewhere === undefined ? '' : `; did you mean ${elsewhere.join('.')}?`;
}

const KINDS: Readonly<Record<string, string>> = {
  array: 'a list',
  boolean: 'true or false',
  int: 'an integer',
  number: 'a number',
  object: 'a mapping',
  record: 'a mapping',
  string: 'a string',
};
const PARTS: Readonly<Record<string, string>> = { array: 'entries', string: 'characters' };

/** Describes a zod issue in a user's words. */
function describeIssue(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_type') {
    if (issue.input === undefined) return 'is missing';
    const isInfinite = issue.expected === 'number' && typeof issue.input === 'number';
    return `must be ${isInfinite ? 'a finite number' : (KINDS[issue.expected] ?? issue.expected)}`;
  }
  if (issue.code === 'invalid_union') {
    const [[first] = []] = issue.errors;
    if (first?.code === 'invalid_value') return describeIssue({ ...first, input: issue.input });
  }
  if (issue.code === 'invalid_value') {
    const near = typeof issue.input === 'string' ? didYouMean(issue.input, issue.values.map(String)) : '';
    return `must be one of ${issue.values.join(', ')}${near}`;
  }
  const part = 'origin' in issue ? PARTS[issue.origin] : undefined;
  if (issue.code === 'too_small' && part !== undefined && issue.minimum === 1) return 'must not be empty';
  const limit = (words: string, value: unknown) =>
    part === undefined ? `must be ${words} ${value}` : `must have ${words} ${value} ${part}`;
  if (issue.code === 'too_small') return limit(issue.inclusive ? 'at least' : 'more than', issue.minimum);
  if (issue.code === 'too_big') return limit(issue.inclusive ? 'at most' : 'less than', issue.maximum);
  return issue.message;
}
