import { layoutOf } from '@locmoe/bench/internal/collectives/cases';
import { PEER_SETTINGS } from '@locmoe/bench/internal/step/verify';
import { loadConfig } from 'locmoe/internal/config/resolve';

export const MODELS = ['small', 'medium'] as const;
/** `small` is the recipe itself; `medium` has twice its width. */
export type ModelName = (typeof MODELS)[number];

export const LAYOUTS = ['1x1', '2x1', '2x2'] as const;
/** Nodes x workers per node. */
export type Layout = (typeof LAYOUTS)[number];
/** The layout of the headline figures and of the sweeps. */
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

export interface CellSizes {
  readonly width: number;
  readonly experts: number;
  /** Tokens per sequence. */
  readonly sequence: number;
  /** Sequences per rank. */
  readonly batch: number;
}

export function numRanks(layout: Layout): number {
  const { numNodes, workersPerNode } = layoutOf(layout);
  return numNodes * workersPerNode;
}

/** Returns a short and unique name, also used for folders. */
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

/** Returns the config overrides of a cell's run, except for its length. */
export function settingsOf(cell: Cell, recipe: string, sets: readonly string[]): string[] {
  const sizes = sizesOf(cell, recipe, sets);
  const [nodes, workersPerNode] = cell.layout.split('x');
  return [
    ...sets,
    ...PEER_SETTINGS,
    `model.dModel=${sizes.width}`,
    `model.dFeedForward=${4 * sizes.width}`,
    `model.seqLen=${sizes.sequence}`,
    `moe.numExperts=${sizes.experts}`,
    `train.globalBatch=${sizes.batch * numRanks(cell.layout)}`,
    `cluster.nodes=${nodes}`,
    `cluster.workersPerNode=${workersPerNode}`,
  ];
}

export function isHeadline({ layout, sweep }: Cell): boolean {
  return layout === HEADLINE_LAYOUT && sweep === null;
}
