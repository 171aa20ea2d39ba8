import {
  droppedShare,
  type GlobalLayer,
  type GlobalStep,
  LAYER_MEASURES,
  type LayerMeasureName,
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
  for (const part of STEP_PARTS) steps.put(part, step.partsMs[part]);
  if (step.layers.length > 0) putRouting(steps, 'all', step.layers);
  for (const layer of step.layers) putRouting(ofLayers, String(layer.layer), [layer]);
  steps.endRow();
  ofLayers.endRow();
}

/** Columns of the routing charts, for one layer or for all together, beside the share that was dropped. */
const MEASURES = LAYER_MEASURES.filter(({ column }) => column !== undefined);

/** Shares of a layer's tokens by destination, which add up to one. */
export const PLACE_COLUMNS = LAYER_MEASURES.filter(({ column }) => column === 'share of places').map(
  ({ name }) => name,
);

export const ROUTING_COLUMNS = [...MEASURES.map(({ name }) => name), 'dropped'] as const;

type ColumnNames = Readonly<Record<(typeof ROUTING_COLUMNS)[number], string>>;
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
  // Earlier runs may lack a measure.
  const valuesOf = (name: LayerMeasureName) =>
    layers.flatMap(({ [name]: value = [] }) => value as number | readonly number[]);
  const sumOf = (name: LayerMeasureName) => valuesOf(name).reduce((sum, value) => sum + value, 0);
  const totals = {
    'share of routed': sumOf('routed'),
    'share of places': PLACE_COLUMNS.reduce((sum, name) => sum + sumOf(name), 0),
  };
  table.put(names.dropped, droppedShare(layers));
  for (const { name, column = 'value' } of MEASURES)
    if (column === 'value') table.put(names[name], meanKnown(valuesOf(name)));
    else table.put(names[name], totals[column] === 0 ? null : sumOf(name) / totals[column]);
}

function meanKnown(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => typeof value === 'number');
  return known.length === 0 ? null : known.reduce((a, b) => a + b, 0) / known.length;
}
