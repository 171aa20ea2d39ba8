import {
  droppedShare,
  type GlobalLayer,
  type GlobalStep,
  locality,
} from '../../coordinator/step-aggregator.js';
import { STEP_PARTS } from '../../rpc/messages.js';
import type { Columns } from './api-types.js';

/** Columns of numbers that grow together; NaN where a row has no value. */
export class NumberTable {
  readonly #columns = new Map<string, number[]>();
  numRows = 0;

  append(row: Readonly<Record<string, number | null | undefined>>): void {
    for (const [name, value] of Object.entries(row)) {
      let column = this.#columns.get(name);
      if (column === undefined) {
        column = new Array<number>(this.numRows).fill(Number.NaN);
        this.#columns.set(name, column);
      }
      column.push(value ?? Number.NaN);
    }
    this.numRows++;
    for (const column of this.#columns.values()) if (column.length < this.numRows) column.push(Number.NaN);
  }

  /** Empty if no row has it. */
  column(name: string): readonly number[] {
    return this.#columns.get(name) ?? new Array<number>(this.numRows).fill(Number.NaN);
  }

  get names(): readonly string[] {
    return [...this.#columns.keys()];
  }

  /** The named columns at the given rows, as JSON has them. */
  pick(names: readonly string[], rows: readonly number[]): Columns {
    return Object.fromEntries(
      names.map((name) => {
        const column = this.column(name);
        return [name, rows.map((row) => jsonNumber(column[row]))];
      }),
    );
  }
}

/** Six digits are more than a screen shows; of a time in ms all count. */
function jsonNumber(value: number): number | null {
  if (!Number.isFinite(value)) return null;
  return Math.abs(value) >= 1e5 ? Math.round(value) : Number(value.toPrecision(6));
}

/** The row of a step; `time` in ms since 1970 is when it was done. */
export function stepRow(step: GlobalStep, time: number): Record<string, number | null> {
  return {
    step: step.step,
    time,
    // JSON has no NaN: a loss that was not finite comes as null.
    loss: step.loss,
    auxiliaryLoss: step.auxiliaryLoss,
    gradientNorm: step.gradientNorm,
    learningRate: step.learningRate,
    tokens: step.tokens,
    stepMs: step.stepMs,
    tokensPerS: step.stepMs > 0 ? (1e3 * step.tokens) / step.stepMs : null,
    ...Object.fromEntries(STEP_PARTS.map((part) => [part, step.partsMs?.[part] ?? 0])),
    ...(step.layers?.length > 0 ? routingRow('all', step.layers) : {}),
    ...Object.assign({}, ...(step.layers ?? []).map((layer) => routingRow(String(layer.layer), [layer]))),
  };
}

/** What of the routing is drawn, for one layer or for all together. */
export const ROUTING_COLUMNS = [
  'sameWorker',
  'sameNode',
  'otherNode',
  'dropped',
  'overCapacity',
  'notChosen',
  'capacityRatio',
  'gateCosine',
] as const;

/** `layer` is a layer's number or `all`. */
export function routingColumn(layer: string, name: (typeof ROUTING_COLUMNS)[number]): string {
  return `layer.${layer}.${name}`;
}

function routingRow(layer: string, layers: readonly GlobalLayer[]): Record<string, number | null> {
  const sum = (of: (layer: GlobalLayer) => readonly number[]) =>
    layers.reduce((total, each) => total + of(each).reduce((a, b) => a + b, 0), 0);
  const routed = sum((each) => each.routed);
  const share = (count: number) => (routed === 0 ? null : count / routed);
  const values: Record<(typeof ROUTING_COLUMNS)[number], number | null> = {
    ...(locality(layers) ?? { sameWorker: null, sameNode: null, otherNode: null }),
    dropped: droppedShare(layers),
    overCapacity: share(sum((each) => each.overCapacity ?? [])),
    notChosen: share(sum((each) => each.notChosen ?? [])),
    capacityRatio: meanKnown(layers.map((each) => each.capacityRatio)),
    gateCosine: meanKnown(layers.map((each) => each.gateCosine)),
  };
  return Object.fromEntries(ROUTING_COLUMNS.map((name) => [routingColumn(layer, name), values[name]]));
}

function meanKnown(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => typeof value === 'number');
  return known.length === 0 ? null : known.reduce((a, b) => a + b, 0) / known.length;
}
