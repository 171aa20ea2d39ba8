import {
  droppedShare,
  type GlobalLayer,
  type GlobalStep,
  locality,
  STEP_MEASURES,
  STEP_PARTS,
} from '@locmoe/run-format';
import type { NumberTable } from './number-table.js';

/**
 * Numbers of a step that have a column of the same name; null if a number was not finite, which JSON cannot
 * express.
 */
export const SCALARS = STEP_MEASURES.flatMap(({ name, tensorboard }) =>
  tensorboard === undefined ? [] : [name],
);

/** Columns of steps. */
export interface StepTables {
  /** Columns of the whole model. */
  readonly steps: NumberTable;
  /** Columns of each layer, at the same rows. */
  readonly layers: NumberTable;
}

export interface StepPlace {
  /** When the step ended, in ms since 1970. */
  readonly time: number;
  /** Tokens of all steps up to and including this one. */
  readonly tokens: number;
  /** Byte offset of the step's line. */
  readonly offset: number;
}

/** Appends a step. */
export function appendStep(
  { steps, layers: ofLayers }: StepTables,
  step: GlobalStep,
  place: StepPlace,
): void {
  steps.put('step', step.step);
  steps.put('time', place.time);
  steps.put('tokens', place.tokens);
  steps.put('offset', place.offset);
  for (const name of SCALARS) steps.put(name, step[name]);
  steps.put('tokensPerS', step.stepMs > 0 ? (1e3 * step.tokens) / step.stepMs : null);
  for (const part of STEP_PARTS) steps.put(part, step.partsMs?.[part] ?? 0);
  const layers = step.layers ?? [];
  if (layers.length > 0) putRouting(steps, 'all', layers);
  for (const layer of layers) putRouting(ofLayers, String(layer.layer), [layer]);
  steps.endRow();
  ofLayers.endRow();
}

/** Shares of a layer's tokens by destination, which add up to one. */
export const PLACE_COLUMNS = ['sameWorker', 'sameNode', 'otherNode'] as const;

/** Columns of the routing charts, for one layer or for all together. */
export const ROUTING_COLUMNS = [
  ...PLACE_COLUMNS,
  'dropped',
  'overCapacity',
  'notChosen',
  'capacityRatio',
  'gateCosine',
] as const;

type RoutingColumn = (typeof ROUTING_COLUMNS)[number];

type ColumnNames = Readonly<Record<RoutingColumn, string>>;
const namesOfLayers = new Map<string, ColumnNames>();

/** Returns the names of a layer's columns in a table. @param layer a number or `all` */
export function routingColumns(layer: string): ColumnNames {
  const names =
    namesOfLayers.get(layer) ??
    (Object.fromEntries(ROUTING_COLUMNS.map((name) => [name, `layer.${layer}.${name}`])) as ColumnNames);
  namesOfLayers.set(layer, names);
  return names;
}

function putRouting(table: NumberTable, layer: string, layers: readonly GlobalLayer[]): void {
  const names = routingColumns(layer);
  const sumOf = (name: 'routed' | 'overCapacity' | 'notChosen') =>
    layers.reduce((sum, each) => (each[name] ?? []).reduce((total, count) => total + count, sum), 0);
  const routed = sumOf('routed');
  const share = (count: number) => (routed === 0 ? null : count / routed);
  const places = locality(layers);
  for (const name of PLACE_COLUMNS) table.put(names[name], places?.[name]);
  table.put(names.dropped, droppedShare(layers));
  table.put(names.overCapacity, share(sumOf('overCapacity')));
  table.put(names.notChosen, share(sumOf('notChosen')));
  table.put(names.capacityRatio, meanKnown(layers.map((each) => each.capacityRatio)));
  table.put(names.gateCosine, meanKnown(layers.map((each) => each.gateCosine)));
}

function meanKnown(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => typeof value === 'number');
  return known.length === 0 ? null : known.reduce((a, b) => a + b, 0) / known.length;
}
