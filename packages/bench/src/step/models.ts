import { loadConfig } from 'locmoe/config/resolve';
import type { RunConfig } from 'locmoe/config/schema';
import type { RouterName } from 'locmoe/routing/index';

export const MODELS = ['small', 'medium'] as const;
/** `small` is the recipe as it stands; `medium` has twice its width. */
export type ModelName = (typeof MODELS)[number];

export const LAYOUTS = ['1x1', '2x1', '2x2'] as const;
/** Nodes x workers of a node. */
export type Layout = (typeof LAYOUTS)[number];
/** Where the figures of `step.json` come from, and what sweeps vary. */
export const HEADLINE_LAYOUT: Layout = '2x2';

export const SWEEPS = ['width', 'experts', 'sequence', 'batch'] as const;
/** A size of the small model that is varied alone. */
export type Sweep = (typeof SWEEPS)[number];

/** What is trained: a model on a layout, or the small one with one of its sizes multiplied by `factor`. */
export interface Cell {
  readonly model: ModelName;
  readonly layout: Layout;
  readonly sweep: { readonly of: Sweep; readonly factor: number } | null;
}

/** Those that the peer has too. */
type StepRouter = Extract<RouterName, 'switch' | 'locmoe-plus'>;

/** Sizes of a cell that a report names. */
export interface CellSizes {
  readonly width: number;
  readonly experts: number;
  /** Tokens of a sequence. */
  readonly sequence: number;
  /** Sequences a rank. */
  readonly batch: number;
}

/** What every run sets besides its sizes: what the peer has no counterpart of is off. */
const COMMON = ['model.queryLayer=false', 'moe.expertGroups=1', 'data.placement=mixed'] as const;

export function numRanks(layout: Layout): number {
  const [nodes, workers] = layout.split('x').map(Number);
  return nodes * workers;
}

/** Short and unique; also the name of a folder. */
export function cellId({ model, layout, sweep }: Cell): string {
  return [model, layout, ...(sweep === null ? [] : [`${sweep.of}-x${sweep.factor}`])].join('-');
}

/** @throws TrainerError `BAD_CONFIG` if the recipe with `sets` is none */
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

/** The settings on top of the recipe that make it a cell's run of so many steps. */
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
 * A run of `steps` steps that does as little as it can besides. The recipe's warm-up stays: with its full rate from the
 * start, a gate sends all tokens to one expert, which drops them.
 */
export function lengthSettings(steps: number): string[] {
  return [
    `train.steps=${steps}`,
    `train.validateEvery=${steps}`,
    'train.validationSequences=1',
    `train.checkpointEvery=${steps}`,
    'train.keepCheckpoints=1',
  ];
}

/** The whole configuration of a cell's run. @throws TrainerError `BAD_CONFIG` */
export function configOf(
  cell: Cell,
  router: StepRouter,
  steps: number,
  recipe: string,
  sets: readonly string[],
): RunConfig {
  return loadConfig(recipe, { sets: settingsOf(cell, router, steps, recipe, sets) });
}
