import { type GlobalLayer, type GlobalStep, locality, STEP_MEASURES, STEP_PARTS } from '@locmoe/run-format';
import type { NumberTable } from './number-table.js';

/** Numbers of a step that have a column of their name; null if a number was not finite, which JSON cannot hold. */
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
  /** Tokens of all steps so far. */
  readonly tokens: number;
  /** Byte at which its line begins. */
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

/** Shares that add up to one: where the tokens of a layer went. */
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

const columnsOfLayer = new Map<string, Readonly<Record<RoutingColumn, string>>>();

/** Names of a layer's columns in a table. @param layer a number or `all` */
export function routingColumns(layer: string): Readonly<Record<RoutingColumn, string>> {
  let names = columnsOfLayer.get(layer);
  if (names === undefined) {
    names = Object.fromEntries(ROUTING_COLUMNS.map((name) => [name, `layer.${layer}.${name}`])) as Record<
      RoutingColumn,
      string
    >;
    columnsOfLayer.set(layer, names);
  }
  return names;
}

function putRouting(table: NumberTable, layer: string, layers: readonly GlobalLayer[]): void {
  const names = routingColumns(layer);
  const routed = sumOf(layers, 'routed');
  const share = (count: number) => (routed === 0 ? null : count / routed);
  const places = locality(layers);
  table.put(names.sameWorker, places?.sameWorker);
  table.put(names.sameNode, places?.sameNode);
  table.put(names.otherNode, places?.otherNode);
  table.put(names.dropped, routed === 0 ? 0 : 1 - sumOf(layers, 'kept') / routed);
  table.put(names.overCapacity, share(sumOf(layers, 'overCapacity')));
  table.put(names.notChosen, share(sumOf(layers, 'notChosen')));
  table.put(names.capacityRatio, meanKnown(layers.map((each) => each.capacityRatio)));
  table.put(names.gateCosine, meanKnown(layers.map((each) => each.gateCosine)));
}

function sumOf(
  layers: readonly GlobalLayer[],
  name: 'routed' | 'kept' | 'overCapacity' | 'notChosen',
): number {
  let total = 0;
  for (const layer of layers) for (const count of layer[name] ?? []) total += count;
  return total;
}

function meanKnown(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => typeof value === 'number');
  return known.length === 0 ? null : known.reduce((a, b) => a + b, 0) / known.length;
}
