import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Document, isMap, isNode, LineCounter, parse, parseDocument } from 'yaml';
import type { z } from 'zod';
import { TrainerError } from '../errors.js';
import { type RunConfig, runSchema } from './schema.js';

const RECIPES_DIR = fileURLToPath(new URL('../../configs', import.meta.url));

/** What the command line adds to a configuration file; `sets` are `key=value` with dotted keys and YAML values. */
export interface ConfigOverrides {
  readonly sets?: readonly string[];
  readonly nodes?: number | undefined;
  readonly workersPerNode?: number | undefined;
}

interface Problem {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/** Names of the recipes in configs/. */
export function recipeNames(): string[] {
  return readdirSync(RECIPES_DIR)
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => path.basename(file, '.yaml'))
    .sort();
}

/**
 * Reads a recipe by name or a YAML (or JSON) file by path, applies the overrides, fills in defaults and checks everything.
 *
 * @throws TrainerError `BAD_CONFIG`; the message lists every problem at once, each with file:line:column or the
 *   `--set` that caused it.
 */
export function loadConfig(source: string, overrides: ConfigOverrides = {}): RunConfig {
  const recipe = path.join(RECIPES_DIR, `${source}.yaml`);
  const file = existsSync(source) ? source : recipe;
  if (!existsSync(file))
    throw new TrainerError(
      'BAD_CONFIG',
      `--config ${source}: no such file, and no recipe of that name (recipes: ${recipeNames().join(', ')})`,
    );
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new TrainerError('BAD_CONFIG', `--config ${source}: cannot be read (${(error as Error).message})`);
  }
  return resolveConfig(text, path.relative(process.cwd(), file) || file, overrides);
}

/** As `loadConfig`, from the text itself; `label` stands for the file in messages. */
export function resolveConfig(text: string, label: string, overrides: ConfigOverrides = {}): RunConfig {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${label}:${line}:${col}`;
  };
  if (document.errors.length > 0)
    throw badConfig(document.errors.map((error) => `${at(error.pos[0])} ${error.message}`));

  if (!isMap(document.contents))
    throw badConfig([`${label}:1:1 configuration: must have sections such as model: and train:`]);

  const overridden = applyOverrides(document, overrides);
  const parsed = runSchema.safeParse(document.toJS(), { reportInput: true });
  const problems: readonly Problem[] = parsed.success
    ? crossFieldProblems(parsed.data)
    : parsed.error.issues.flatMap((issue) =>
        issue.code === 'unrecognized_keys'
          ? issue.keys.map((key) => ({ path: [...issue.path, key], message: 'unknown key' }))
          : [{ path: issue.path, message: describeIssue(issue) }],
      );
  if (problems.length > 0)
    throw badConfig(
      problems.map(({ path: field, message }) => {
        const name = field.join('.');
        const origin = overrideOf(overridden, name) ?? positionOf(document, field, at) ?? label;
        return `${origin} ${name || 'configuration'}: ${message}`;
      }),
    );
  return parsed.data as RunConfig;
}

/** zod's words, made for programmers, in a user's. */
function describeIssue(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_type')
    return issue.input === undefined ? 'is missing' : `must be a ${issue.expected}`;
  if (issue.code === 'too_small')
    return `must be ${issue.inclusive ? 'at least' : 'more than'} ${issue.minimum}`;
  if (issue.code === 'too_big')
    return `must be ${issue.inclusive ? 'at most' : 'less than'} ${issue.maximum}`;
  return issue.message;
}

/** The option that set a field, or the section it stands in. */
function overrideOf(origins: ReadonlyMap<string, string>, name: string): string | undefined {
  for (const [key, origin] of origins)
    if (key === name || key.startsWith(`${name}.`) || name.startsWith(`${key}.`)) return origin;
  return undefined;
}

function badConfig(problems: readonly string[]): TrainerError {
  return new TrainerError('BAD_CONFIG', problems.join('\n'));
}

/** Writes the overrides into the document; returns which option each field came from. */
function applyOverrides(document: Document, overrides: ConfigOverrides): Map<string, string> {
  const origins = new Map<string, string>();
  const set = (key: string, value: unknown, origin: string) => {
    const keys = key.split('.');
    for (let depth = 1; depth < keys.length; depth++) {
      const parent = document.getIn(keys.slice(0, depth));
      if (parent !== undefined && (typeof parent !== 'object' || parent === null))
        throw badConfig([`${origin} ${key}: ${keys.slice(0, depth).join('.')} is a value, not a section`]);
    }
    document.setIn(keys, value);
    origins.set(key, origin);
  };
  for (const assignment of overrides.sets ?? []) {
    const split = assignment.indexOf('=');
    if (split < 1) throw badConfig([`--set ${assignment}: expected key=value, e.g. train.steps=100`]);
    let value: unknown;
    try {
      value = parse(assignment.slice(split + 1));
    } catch {
      value = assignment.slice(split + 1);
    }
    set(assignment.slice(0, split), value, `--set ${assignment}:`);
  }
  if (overrides.nodes !== undefined) set('cluster.nodes', overrides.nodes, `--nodes ${overrides.nodes}:`);
  if (overrides.workersPerNode !== undefined)
    set(
      'cluster.workersPerNode',
      overrides.workersPerNode,
      `--workers-per-node ${overrides.workersPerNode}:`,
    );
  return origins;
}

/** file:line:column of a field, or of the nearest section that exists. */
function positionOf(
  document: Document,
  field: readonly PropertyKey[],
  at: (offset: number) => string,
): string | undefined {
  for (let length = field.length; length > 0; length--) {
    const node = document.getIn(field.slice(0, length) as string[], true);
    if (isNode(node) && node.range) return at(node.range[0]);
  }
  return undefined;
}

/** Checks that need more than one field. */
function crossFieldProblems(config: RunConfig): Problem[] {
  const { model, moe, data, train, cluster } = config;
  const worldSize = cluster.nodes * cluster.workersPerNode;
  const problems: Problem[] = [];
  const check = (ok: boolean, field: string, message: string) => {
    if (!ok) problems.push({ path: field.split('.'), message });
  };
  check(
    model.dModel % model.numHeads === 0,
    'model.numHeads',
    `dModel ${model.dModel} is not divisible by numHeads ${model.numHeads}`,
  );
  check(
    moe.numExperts % worldSize === 0 || worldSize % moe.numExperts === 0,
    'moe.numExperts',
    `${moe.numExperts} experts cannot be spread evenly over ${worldSize} workers (cluster.nodes x cluster.workersPerNode); one must divide the other`,
  );
  check(
    moe.numExperts % moe.expertGroups === 0,
    'moe.expertGroups',
    `${moe.numExperts} experts cannot be split into ${moe.expertGroups} equal groups`,
  );
  check(
    moe.expertGroups <= data.domains.length,
    'moe.expertGroups',
    `${moe.expertGroups} groups for ${data.domains.length} domains would leave experts without a domain`,
  );
  problems.push(...routerProblems(config));
  check(new Set(data.domains).size === data.domains.length, 'data.domains', 'a domain is listed twice');
  check(
    data.weights === undefined || data.weights.length === data.domains.length,
    'data.weights',
    `${data.weights?.length} weights for ${data.domains.length} domains`,
  );
  check(data.validationShare < 1, 'data.validationShare', 'must leave something to train on');
  check(
    train.globalBatch % worldSize === 0,
    'train.globalBatch',
    `${train.globalBatch} sequences cannot be split evenly over ${worldSize} workers`,
  );
  check(
    train.endLearningRate <= train.learningRate,
    'train.endLearningRate',
    'must not exceed train.learningRate',
  );
  check(
    !cluster.deduplicate || moe.numExperts >= worldSize,
    'cluster.deduplicate',
    `needs one owner for each expert, so at least as many experts as workers: ${moe.numExperts} experts, ${worldSize} workers`,
  );
  check(
    cluster.ringBytes >= 4096 && (cluster.ringBytes & (cluster.ringBytes - 1)) === 0,
    'cluster.ringBytes',
    `${cluster.ringBytes} is not a power of two of at least 4096`,
  );
  return problems;
}

function routerProblems({ model, moe }: RunConfig): Problem[] {
  const problems: Problem[] = [];
  const check = (ok: boolean, field: string, message: string) => {
    if (!ok) problems.push({ path: field.split('.'), message });
  };
  if (moe.router !== 'locmoe' && moe.router !== 'locmoe-plus') return problems;
  check(
    model.dModel % moe.numExperts === 0,
    'moe.numExperts',
    `router ${moe.router} cuts dModel ${model.dModel} into one group for each expert: ${moe.numExperts} does not divide it`,
  );
  check(
    moe.localityFloor < 1 || moe.localityLossWeight === 0,
    'moe.localityFloor',
    'must leave some probability to local experts: below 1',
  );
  if (moe.router !== 'locmoe-plus') return problems;
  check(
    moe.selection !== 'ecr' || moe.capacityFactor !== null,
    'moe.capacityFactor',
    'null with selection ecr would send every token to all experts of its group; give a number',
  );
  check(
    moe.selectionSchedule === 'constant' || moe.selection !== 'tcr',
    'moe.selectionSchedule',
    'linear moves from token choice to expert choice: use it with selection both or ecr',
  );
  return problems;
}
