import { STEP_PARTS } from 'locmoe/rpc/messages';
import { type GlobalLayer, type GlobalStep, locality } from 'locmoe/run/global-step';
import type { Columns } from './api-types.js';

/** An append-only table of numbers; NaN where a row has no value. */
export class NumberTable {
  readonly #columns = new Map<string, number[]>();
  numRows = 0;

  /** Sets a value of the next row. A row that is not ended is overwritten. */
  put(name: string, value: number | null | undefined): void {
    let column = this.#columns.get(name);
    if (column === undefined) {
      column = new Array<number>(this.numRows).fill(Number.NaN);
      this.#columns.set(name, column);
    }
    column[this.numRows] = value ?? Number.NaN;
  }

  /** Appends the row; columns without a value get NaN. */
  endRow(): void {
    this.numRows++;
    for (const column of this.#columns.values()) if (column.length < this.numRows) column.push(Number.NaN);
  }

  /** All NaN if no row has it. */
  column(name: string): readonly number[] {
    return this.#columns.get(name) ?? new Array<number>(this.numRows).fill(Number.NaN);
  }

  get names(): readonly string[] {
    return [...this.#columns.keys()];
  }

  /** The named columns at the given rows, ready for JSON. */
  pick(names: readonly string[], rows: readonly number[]): Columns {
    return Object.fromEntries(
      names.map((name) => {
        const column = this.column(name);
        return [name, jsonNumbers(rows.map((row) => column[row]))];
      }),
    );
  }
}

/** NaN and infinities become null, which JSON has instead. */
export function jsonNumbers(values: readonly number[]): (number | null)[] {
  return values.map(jsonNumber);
}

/** Six digits suffice for a chart; integers of 1e5 and more, such as times in ms, keep all. */
function jsonNumber(value: number): number | null {
  if (!Number.isFinite(value)) return null;
  const size = Math.abs(value);
  if (size >= 1e5 || size === 0) return Math.round(value);
  const scale = 10 ** (5 - Math.floor(Math.log10(size)));
  return Math.round(value * scale) / scale;
}

/** Appends a step. @param time its end in ms since 1970 */
export function appendStep(table: NumberTable, step: GlobalStep, time: number): void {
  table.put('step', step.step);
  table.put('time', time);
  // Null if it was not finite, which JSON cannot hold.
  table.put('loss', step.loss);
  table.put('auxiliaryLoss', step.auxiliaryLoss);
  table.put('gradientNorm', step.gradientNorm);
  table.put('learningRate', step.learningRate);
  table.put('stepMs', step.stepMs);
  table.put('tokensPerS', step.stepMs > 0 ? (1e3 * step.tokens) / step.stepMs : null);
  for (const part of STEP_PARTS) table.put(part, step.partsMs?.[part] ?? 0);
  const layers = step.layers ?? [];
  if (layers.length > 0) putRouting(table, 'all', layers);
  for (const layer of layers) putRouting(table, String(layer.layer), [layer]);
  table.endRow();
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
