import { loadConfig } from 'locmoe/internal/config/resolve';
import type { RunConfig } from 'locmoe/internal/config/schema';
import type { RouterName } from 'locmoe/internal/routing/index';

export const MODELS = ['small', 'medium'] as const;
/** `small` is the recipe itself; `medium` has twice its width. */
export type ModelName = (typeof MODELS)[number];

export const LAYOUTS = ['1x1', '2x1', '2x2'] as const;
/** Nodes x workers per node. */
export type Layout = (typeof LAYOUTS)[number];
/** The layout of `step.json` and of the sweeps. */
export const HEADLINE_LAYOUT: Layout = '2x2';

export const SWEEPS = ['width', 'experts', 'sequence', 'batch'] as const;
/** A size of the small model that a sweep varies. */
export type Sweep = (typeof SWEEPS)[number];

/** A model on a layout, or the small one with one of its sizes multiplied by `factor`. */
export interface Cell {
  readonly model: ModelName;
  readonly layout: Layout;
  readonly sweep: { readonly of: Sweep; readonly factor: number } | null;
}

/** Routers of the bench; the peer implements `switch`. */
type StepRouter = Extract<RouterName, 'switch' | 'locmoe-plus'>;

/** Sizes of a cell, for the report. */
export interface CellSizes {
  readonly width: number;
  readonly experts: number;
  /** Tokens per sequence. */
  readonly sequence: number;
  /** Sequences per rank. */
  readonly batch: number;
}

/** Overrides of every run: features without a counterpart in the peer are off. */
const COMMON = ['model.queryLayer=false', 'moe.expertGroups=1', 'data.placement=mixed'] as const;

export function numRanks(layout: Layout): number {
  const [nodes, workers] = layout.split('x').map(Number);
  return nodes * workers;
}

/** Short and unique; also a folder name. */
export function cellId({ model, layout, sweep }: Cell): string {
  return [model, layout, ...(sweep === null ? [] : [`${sweep.of}-x${sweep.factor}`])].join('-');
}

/** @throws TrainerError `BAD_CONFIG` if the recipe with `sets` is invalid */
export function sizesOf(cell: Cell, recipe: string, sets: readonly string[]): CellSizes {
  const { model, moe, train, cluster } = loadConfig(recipe, { sets });
  const factor = (of: Sweep) => (cell.sweep?.of === of ? cell.sweep.factor : 1);
  return {
    width: model.dModel * (cell.model === 'medium' ? 2 : 1) * factor('width'),
    experts: moe.numExperts * factor('experts'),
    sequence: model.seqLen * factor('sequence'),
    batch: (train.globalBatch / (cluster.nodes * cluster.workersPerNode)) * factor('batch'),
  };
}

/** Config overrides of a cell's run of so many steps. */
export function settingsOf(
  cell: Cell,
  router: StepRouter,
  steps: number,
  recipe: string,
  sets: readonly string[],
): string[] {
  const { model } = loadConfig(recipe, { sets });
  const sizes = sizesOf(cell, recipe, sets);
  const [nodes, workersPerNode] = cell.layout.split('x');
  return [
    ...sets,
    ...COMMON,
    `moe.router=${router}`,
    `model.dModel=${sizes.width}`,
    `model.dFeedForward=${(model.dFeedForward / model.dModel) * sizes.width}`,
    `model.seqLen=${sizes.sequence}`,
    `moe.numExperts=${sizes.experts}`,
    `train.globalBatch=${sizes.batch * numRanks(cell.layout)}`,
    `cluster.nodes=${nodes}`,
    `cluster.workersPerNode=${workersPerNode}`,
    ...lengthSettings(steps),
  ];
}

/**
 * A run of `steps` steps with as little other work as possible. It keeps the warm-up of the recipe: at the
 * full learning rate from the start, a gate sends all tokens to one expert, which drops them.
 */
export function lengthSettings(steps: number): string[] {
  return [
    `train.steps=${steps}`,
    `train.validateEvery=${steps}`,
    'train.validationSequences=1',
    `train.checkpointEvery=${steps}`,
    // One would weigh as much here as in a hundred steps of a long run.
    'train.snapshotEvery=0',
    'train.keepCheckpoints=1',
  ];
}

/**
 * The complete configuration of a cell's run.
 *
 * @throws TrainerError `BAD_CONFIG`
 */
export function configOf(
  cell: Cell,
  router: StepRouter,
  steps: number,
  recipe: string,
  sets: readonly string[],
): RunConfig {
  return loadConfig(recipe, { sets: settingsOf(cell, router, steps, recipe, sets) });
}
