import path from 'node:path';
import { editorSchema } from 'locmoe/internal/config/reference';
import { loadConfig } from 'locmoe/internal/config/resolve';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { TrainerError } from 'locmoe/internal/errors';
import { ownRouterName } from 'locmoe/internal/routing/own/router-file';
import { sha256 } from 'locmoe/internal/sha256';
import type { Arm, Design, Question } from './design.js';
import { MEASURES } from './measures.js';
import { keyOf, type RunKey, STAGES } from './runs.js';

/** Returns the path of the recipe of a design. */
export function recipeOf({ folder }: Design): string {
  return path.join(folder, 'proof.yaml');
}

/** An arm of a question, without the seed of the training. */
export interface Cell extends Omit<RunKey, 'seed'> {
  readonly arm: Arm;
  readonly question: Question;
  readonly sets: readonly string[];
  readonly config: RunConfig;
  readonly seeds: readonly number[];
}

export interface Job extends Cell {
  readonly seed: number;
}

/**
 * Returns the arms of all questions, by kind of run: those of which a question or a planned test uses a measure.
 *
 * @param set overrides that come last, in every run
 * @throws TrainerError `BAD_CONFIG` as `loadConfig`
 */
export function cellsOf(design: Design, set: readonly string[]): Cell[] {
  return (['quality', 'time'] as const).flatMap((kind) =>
    design.questions
      .filter((question) => needs(kind, design, question))
      .flatMap((question) =>
        [...new Map([...question.arms, ...question.references].map((arm) => [arm.id, arm])).values()].map(
          (arm) => cellOf(design, set, { arm, question, kind }),
        ),
      ),
  );
}

function needs(kind: RunKey['kind'], { contrasts }: Design, question: Question): boolean {
  const tested = contrasts.flatMap((each) => (each.question === question ? each.measure : []));
  return (
    tested.includes('timeToLoss') ||
    [...question.measures, ...tested].some((each) => each !== 'timeToLoss' && MEASURES[each].kind === kind)
  );
}

function cellOf(
  design: Design,
  set: readonly string[],
  { arm, question, kind }: Pick<Cell, 'arm' | 'question' | 'kind'>,
): Cell {
  const { folder, seeds, time, testSequences, testShare } = design;
  const { stage } = question;
  const isTested = kind === 'quality' && stage === 'confirming';
  const [nodes, workers] = arm.layout?.split('x') ?? [];
  const sets = [
    ...question.sets,
    ...(kind === 'time' ? time : []),
    ...arm.sets,
    ...(arm.routes === undefined ? [] : [`train.routes=${arm.routes}`]),
    ...(nodes === undefined ? [] : [`cluster.nodes=${nodes}`, `cluster.workersPerNode=${workers}`]),
    ...(isTested ? [`data.validationShare=${testShare}`] : []),
    ...set,
  ].map((each) => each.replace(/=\.\//, `=${folder}/`));
  const [config, own] = resolved(recipeOf(design), sets);
  const tested = isTested ? { testSequences } : {};
  const settings = digestOf([changedSettings(config), own, tested]);
  return { arm, question, kind, stage, sets, config, settings, seeds: question.seeds ?? seeds[stage] };
}

const OWN_ROUTER = /^moe\.router=(.+\.[cm]?js)$/;

/**
 * Resolves a configuration without loading a router from its file, so that a page can be made where the file
 * cannot be loaded.
 *
 * @returns the configuration, and what identifies a router from a file: the hash of the file, wherever it is,
 *   and its options
 */
function resolved(recipe: string, sets: readonly string[]): readonly [RunConfig, readonly string[]] {
  const file = sets.flatMap((set) => OWN_ROUTER.exec(set)?.[1] ?? []).at(-1);
  if (file === undefined) return [loadConfig(recipe, { sets }), []];
  const isOwn = (set: string) => OWN_ROUTER.test(set) || set.startsWith('moe.routerOptions');
  const others = sets.filter((set) => !isOwn(set));
  const [, hash] = ownRouterName(file, process.cwd())!.split('#');
  const own = [hash!, ...sets.filter((set) => set.startsWith('moe.routerOptions'))];
  return [loadConfig(recipe, { sets: [...others, 'moe.router=hash'] }), own];
}

/**
 * Returns the fields of a configuration that differ from the defaults, without the seed: a field that a later
 * version adds does not turn every kept run into a different one.
 */
function changedSettings({ seed: _, ...config }: RunConfig): unknown {
  return withoutDefaults(config, SCHEMA);
}

interface Schema {
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  /** A section with families, each with fields of its own. */
  readonly oneOf?: readonly Schema[];
}

const SCHEMA = editorSchema() as Schema;

function withoutDefaults(value: unknown, schema: Schema | undefined): unknown {
  const properties = schema?.properties ?? mergedProperties(schema?.oneOf);
  if (properties !== undefined && typeof value === 'object' && value !== null) {
    const changed = Object.entries(value).flatMap(([name, each]) => {
      const found = withoutDefaults(each, properties[name]);
      return found === undefined ? [] : [[name, found] as const];
    });
    return changed.length === 0 ? undefined : Object.fromEntries(changed);
  }
  return JSON.stringify(value) === JSON.stringify(schema?.default) ? undefined : value;
}

function mergedProperties(families: readonly Schema[] = []): Schema['properties'] {
  if (families.length === 0 || !families.every(({ properties }) => properties?.family)) return undefined;
  return Object.assign({}, ...families.toReversed().map(({ properties }) => properties));
}

function digestOf(value: unknown): string {
  return sha256(JSON.stringify(value)).slice(0, 16);
}

/** Restricts the runs to make; an empty list restricts nothing. */
export interface Scope {
  /** Names of questions, arms, stages, and kinds of runs. */
  readonly only: readonly string[];
  readonly seeds: readonly number[];
}

/**
 * Returns the runs to make, in order: first those for quality, question by question; then those for time. The
 * arms take turns for each seed, so that a slow hour of the machine affects all alike, and the arm that
 * begins rotates. No run is listed twice.
 *
 * @throws TrainerError `BAD_INPUT` naming an unknown word
 */
export function jobsOf(cells: readonly Cell[], { only, seeds }: Scope): Job[] {
  const wordsOf = (of: (cell: Cell) => string) => [...new Set(cells.map(of))];
  const categories = [
    { words: wordsOf(({ question }) => question.id), of: ({ question }: Cell) => question.id },
    { words: wordsOf(({ arm }) => arm.id), of: ({ arm }: Cell) => arm.id },
    { words: [...STAGES], of: ({ stage }: Cell) => stage },
    { words: ['quality', 'time'], of: ({ kind }: Cell) => kind },
  ];
  const known = categories.flatMap(({ words }) => words);
  const unknown = only.find((word) => !known.includes(word));
  if (unknown !== undefined)
    throw new TrainerError('BAD_INPUT', `--only ${unknown}: expected one of ${known.join(', ')}`);
  const planned = [...new Set(cells.flatMap((cell) => cell.seeds))];
  const other = seeds.find((seed) => !planned.includes(seed));
  if (other !== undefined)
    throw new TrainerError('BAD_INPUT', `--seeds ${other}: expected some of ${planned.join(', ')}`);
  const isAsked = (cell: Cell) =>
    categories.every(
      ({ words, of }) => !words.some((word) => only.includes(word)) || only.includes(of(cell)),
    );
  const asked = cells.filter(isAsked);
  const groups = (['quality', 'time'] as const).flatMap((kind) =>
    [...new Set(asked.map(({ question }) => question))].map((question) =>
      asked.filter((cell) => cell.kind === kind && cell.question === question),
    ),
  );
  const jobs = groups.flatMap((arms) =>
    (arms[0]?.seeds ?? [])
      .filter((seed) => seeds.length === 0 || seeds.includes(seed))
      .flatMap((seed, turn) => arms.map((_, i): Job => ({ ...arms[(i + turn) % arms.length]!, seed }))),
  );
  const seen = new Set<string>();
  return jobs.filter((job) => !seen.has(keyOf(job)) && seen.add(keyOf(job)));
}
