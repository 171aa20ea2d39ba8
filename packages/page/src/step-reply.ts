import {
  droppedShare,
  type GlobalLayer,
  type GlobalStep,
  LAYER_MEASURES,
  locality,
  type MetricsRecordOf,
  STEP_PARTS,
} from '@locmoe/run-format';
import type { ComparedNumber, StepLayer, StepReply, ValidationPoint } from './api-types.js';
import { routingColumns, SCALARS } from './metric-columns.js';
import type { ColumnSource } from './number-table.js';

/** Number of preceding steps with which a step is compared. */
const NUM_NEIGHBOURS = 50;
/** Minimum number of neighbours; with fewer, nothing stands out. */
const LEAST_NEIGHBOURS = 8;
/**
 * A number stands out if it differs from the median by more than this many typical deviations, each at least
 * a share of the median.
 */
const DEVIATIONS = 6;
const LEAST_DEVIATION = 0.02;

/** Numbers of a reply, and the columns of steps that have them. */
const COMPARED: readonly (readonly [of: Named, column: string])[] = [
  ...SCALARS.map((name) => [{ name }, name] as const),
  ...STEP_PARTS.map((part) => [{ name: `parts.${part}` }, part] as const),
  [{ name: 'dropped' }, routingColumns('all').dropped],
  ...LAYER_MEASURES.flatMap(({ name, title, column }) =>
    title === undefined
      ? []
      : [[{ name, title, isShare: column !== 'value' }, routingColumns('all')[name]] as const],
  ),
];
type Named = Pick<ComparedNumber, 'name' | 'title' | 'isShare'>;

interface Known {
  /** Columns of all steps. */
  readonly column: ColumnSource;
  /** Row of the step in the columns. */
  readonly row: number;
  readonly validations: readonly ValidationPoint[];
  readonly generation: number | null;
}

/** Returns the record of a step, compared with the steps before it. */
export function stepReply(
  record: MetricsRecordOf<'step'>,
  { column, row, validations, generation }: Known,
): StepReply {
  const { step, tokens, answerTokens } = record;
  const first = Math.max(0, row - NUM_NEIGHBOURS);
  return {
    step,
    generation,
    time: column('time')[row]!,
    tokens,
    tokensSoFar: column('tokens')[row]!,
    answerTokens: answerTokens ?? null,
    isSkipped: record.loss === null,
    numNeighbours: row - first,
    numbers: COMPARED.flatMap(([of, its]) => compare(of, column(its), first, row) ?? []),
    layers: layersOf(record),
    validations: [
      validations.findLast((each) => each.step < step),
      validations.find((each) => each.step >= step),
    ].filter((each) => each !== undefined),
  };
}

/** Returns null if neither the step nor those before it have the number. */
function compare(of: Named, values: ArrayLike<number>, first: number, row: number): ComparedNumber | null {
  const known = Array.from({ length: row - first }, (_, index) => values[first + index]!).filter(
    Number.isFinite,
  );
  const value = Number.isFinite(values[row]) ? values[row]! : null;
  if (known.length === 0) return value === null ? null : { ...of, value, median: null, standsOut: false };
  const median = medianOf(known);
  const typical = medianOf(known.map((each) => Math.abs(each - median)));
  const limit = DEVIATIONS * Math.max(typical, LEAST_DEVIATION * Math.abs(median));
  const standsOut =
    value !== null && known.length >= LEAST_NEIGHBOURS && Math.abs(value - median) > limit && limit > 0;
  return { ...of, value, median, standsOut };
}

function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Returns no layers for a skipped step. */
function layersOf({ layers }: Pick<GlobalStep, 'layers'>): StepLayer[] {
  return layers.map((layer) => {
    const routed = sumOf(layer.routed);
    return {
      layer: layer.layer,
      routed,
      dropped: routed === 0 ? null : droppedShare([layer]),
      otherNode: locality([layer])?.otherNode ?? null,
      mostWanted: mostOf(layer.routed),
      mostLoaded: mostOf(layer.kept),
    };
  });
}

/** Returns the expert with the highest count, and how many times a fair share that is. */
function mostOf(counts: GlobalLayer['kept']): StepLayer['mostLoaded'] {
  const total = sumOf(counts);
  if (total === 0) return null;
  const most = counts.reduce((best, count, expert) => (count > counts[best]! ? expert : best), 0);
  return { expert: most, ofFairShare: (counts[most]! * counts.length) / total };
}

function sumOf(counts: readonly number[]): number {
  return counts.reduce((sum, count) => sum + count, 0);
}
