import { loadConfig } from 'locmoe/internal/config/resolve';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { TrainerError } from 'locmoe/internal/errors';
import { elementTypeOf } from 'locmoe/internal/ops/kernels/choose-kernels';
import type { InterNodeLink } from './calibration.js';
import { BASELINE, VARIANT_IDS, VARIANTS, type VariantId } from './variants.js';

const LAYOUTS = ['2x1', '2x2', '4x1'] as const;
const PLACEMENTS = ['domain', 'mixed'] as const;

/** Nodes x workers per node. */
export type Layout = `${number}x${number}`;

/** The layout and data placement in which routers are compared. */
export interface Cell {
  readonly layout: Layout;
  readonly placement: (typeof PLACEMENTS)[number];
}

/**
 * The cell of `routers.json`. A router can only save traffic between nodes if nodes differ in text. And a worker needs a core for
 * itself, as it has a device in the papers: where workers share one, the others compute while one waits for the link.
 */
export const HEADLINE_CELL: Cell = { layout: '2x1', placement: 'domain' };

/**
 * What a run is for. `quality`: perplexity, after millions of tokens, where that is fastest. `time`: a step, on the emulated
 * cluster. `quick`: a short run there that serves for either.
 */
export type Kind = 'quality' | 'time' | 'quick';
const WORDS_OF_KINDS = ['quality', 'time'] as const;

export interface Job extends Cell {
  readonly kind: Kind;
  readonly variant: VariantId;
  readonly seed: number;
  /** One of the variant's `capacities`; null for its own. */
  readonly capacity: string | null;
}

/** Points of the frontier are runs of one seed, the one that everything has. */
export const FRONTIER_SEED = 1;

export interface Scope {
  readonly kinds: readonly Kind[];
  readonly variants: readonly VariantId[];
  readonly cells: readonly Cell[];
  readonly seeds: readonly number[];
  readonly qualityLayout: Layout;
}

export function jobId({ kind, variant, capacity, layout, placement, seed }: Job): string {
  const setting = capacity === null ? [] : [capacity.replace('=', '-')];
  return [kind, variant, ...setting, layout, placement, `seed${seed}`].join('-');
}

/**
 * The runs in execution order: quality first, the frontier after what the headline needs; then time. All routers in turn for
 * each seed and cell, so that a temporary slowdown affects all alike. The router that starts rotates.
 */
export function planJobs({ kinds, variants, cells, seeds, qualityLayout }: Scope): Job[] {
  const { placement } = HEADLINE_CELL;
  return kinds.flatMap((kind) => {
    if (kind !== 'quality') return inTurns(kind, variants, cells, seeds);
    const cell = { layout: qualityLayout, placement };
    const frontier = variants.flatMap((variant) =>
      (VARIANTS[variant].capacities ?? []).map(
        (capacity): Job => ({ kind, variant, capacity, seed: FRONTIER_SEED, ...cell }),
      ),
    );
    return [...inTurns(kind, variants, [cell], seeds), ...frontier];
  });
}

function inTurns(
  kind: Kind,
  variants: readonly VariantId[],
  cells: readonly Cell[],
  seeds: readonly number[],
): Job[] {
  const turns = cells.flatMap((cell) => seeds.map((seed) => ({ ...cell, kind, seed, capacity: null })));
  return turns.flatMap((turn, k) =>
    variants.map((_, i) => ({ ...turn, variant: variants[(i + k) % variants.length]! })),
  );
}

/** All cells, the headline cell first. */
export function allCells(): Cell[] {
  return LAYOUTS.flatMap((layout) => PLACEMENTS.map((placement) => ({ layout, placement })));
}

/** The words of `--only` under `--quick`: where none names a layout, a placement or a router, the preset does. */
export function quickWords(only: readonly string[], routers: readonly VariantId[]): string[] {
  const presets: readonly (readonly [readonly string[], readonly string[]])[] = [
    [LAYOUTS, [HEADLINE_CELL.layout]],
    [PLACEMENTS, [HEADLINE_CELL.placement]],
    [VARIANT_IDS, routers],
  ];
  const isNamed = (words: readonly string[]) => words.some((word) => only.includes(word));
  return [...only, ...presets.flatMap(([words, preset]) => (isNamed(words) ? [] : preset))];
}

/**
 * Restricts the comparison to the named kinds of runs, routers, layouts and placements; a category with no word given stays
 * complete. Layouts and placements are those of time runs.
 *
 * @param all what there is to restrict; its kinds are no words if a run serves for both
 * @throws TrainerError `BAD_INPUT` naming an unknown word
 */
export function narrowed(all: Scope, only: readonly string[]): Scope {
  const kinds = WORDS_OF_KINDS.filter((kind) => all.kinds.includes(kind));
  const known: readonly string[] = [...kinds, ...VARIANT_IDS, ...LAYOUTS, ...PLACEMENTS];
  const unknown = only.find((word) => !known.includes(word));
  if (unknown !== undefined)
    throw new TrainerError(
      'BAD_INPUT',
      WORDS_OF_KINDS.some((kind) => kind === unknown)
        ? `--only ${unknown}: a run of --quick serves for quality and time at once; leave out one of the two options`
        : `--only ${unknown}: expected one of ${known.join(', ')}`,
    );
  const narrow = <T extends string>(words: readonly T[]): readonly T[] => {
    const named = words.filter((each) => only.includes(each));
    return named.length > 0 ? named : words;
  };
  const layouts: readonly string[] = narrow(LAYOUTS);
  const placements = narrow(PLACEMENTS);
  return {
    ...all,
    kinds: narrow(all.kinds),
    variants: narrow(all.variants),
    cells: all.cells.filter(
      ({ layout, placement }) => layouts.includes(layout) && placements.includes(placement),
    ),
  };
}

/** Config overrides of a job, for a model and text like these. */
export function settingsOf(
  { variant, capacity, layout, placement, seed }: Job,
  { numExperts, numDomains }: { readonly numExperts: number; readonly numDomains: number },
): string[] {
  const [nodes, workersPerNode] = layout.split('x');
  const { sets, level1 } = VARIANTS[variant];
  let numGroups = level1 === 'node' ? Math.min(Number(nodes), numDomains) : numDomains;
  while (numExperts % numGroups !== 0) numGroups--;
  return [
    ...sets,
    ...(level1 === undefined ? [] : [`moe.expertGroups=${numGroups}`]),
    ...(capacity === null ? [] : [`moe.${capacity}`]),
    `seed=${seed}`,
    `data.placement=${placement}`,
    `cluster.nodes=${nodes}`,
    `cluster.workersPerNode=${workersPerNode}`,
  ];
}

export interface RecipeOptions {
  readonly config: string;
  readonly set: readonly string[];
  /** Training steps of a run for quality; those of the recipe if undefined. */
  readonly steps?: number;
  readonly timeSteps: number;
}

/** How a run is trained: what `locmoe train --set` is told, and what comes of it. */
interface RunSettings {
  readonly config: RunConfig;
  readonly sets: readonly string[];
}

/** Validations of a run for quality: the time to a perplexity lies between two of them. */
const VALIDATIONS = 20;
/** Checkpoints of a probed run. */
const CHECKPOINTS = 6;

/** Everything but the length of a run. */
export function settingsOfJob(options: RecipeOptions, job: Job, link: InterNodeLink): string[] {
  const { moe, data } = loadConfig(options.config, { sets: options.set });
  const size = { numExperts: moe.numExperts, numDomains: data.domains.length };
  return [
    ...precisionSettings(options),
    ...options.set,
    ...settingsOf(job, size),
    // The link has no limit where only the result counts.
    `cluster.interNodeLink=${JSON.stringify(job.kind === 'quality' ? null : link)}`,
  ];
}

/** Returns the precision that `auto` means on this machine, as a run in the other one is another run; `--set` comes later and decides. */
function precisionSettings({ config, set }: RecipeOptions): string[] {
  return [`train.precision=${elementTypeOf(loadConfig(config, { sets: set }).train.precision)}`];
}

/** @throws TrainerError `BAD_CONFIG` as `loadConfig` */
export function resolveJob(options: RecipeOptions, job: Job, link: InterNodeLink): RunSettings {
  const wanted = job.kind === 'time' ? options.timeSteps : options.steps;
  const length = wanted === undefined ? [] : [`train.steps=${wanted}`];
  const sets = [...settingsOfJob(options, job, link), ...length];
  const { steps, warmupSteps } = loadConfig(options.config, { sets }).train;
  const every = (points: number) => Math.max(1, Math.ceil(steps / points));
  const all = [
    ...sets,
    `train.warmupSteps=${Math.min(warmupSteps, Math.floor(steps / 2))}`,
    `train.checkpointEvery=${isProbed(job) ? every(CHECKPOINTS) : steps}`,
    `train.keepCheckpoints=${CHECKPOINTS}`,
    ...(job.kind === 'time'
      ? [`train.validateEvery=${steps}`, 'train.validationSequences=1']
      : [`train.validateEvery=${every(VALIDATIONS)}`]),
  ];
  return { config: loadConfig(options.config, { sets: all }), sets: all };
}

/** How experts part tokens is looked at with the first seed, at each router's own capacity. */
export function isProbed({ kind, seed, capacity }: Job): boolean {
  return kind !== 'time' && seed === 1 && capacity === null;
}

/**
 * Where runs for quality are fastest: the two nodes of the headline cell, since the locality loss depends on which experts are
 * on a token's node, with a worker for each core.
 *
 * @param cores of this machine
 */
export function qualityLayout({ moe, train }: RunConfig, cores: number): Layout {
  const fits = (workers: number) =>
    moe.numExperts % (2 * workers) === 0 && train.globalBatch % (2 * workers) === 0;
  let workers = Math.max(1, Math.floor(cores / 2));
  while (workers > 1 && !fits(workers)) workers--;
  return `2x${workers}`;
}

/** The baseline's run of a kind, by which links are set and times guessed. */
export function baselineJob(kind: Job['kind'], layout: Layout = HEADLINE_CELL.layout): Job {
  return { ...HEADLINE_CELL, layout, kind, variant: BASELINE, seed: 1, capacity: null };
}
