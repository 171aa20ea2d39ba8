import { z } from 'zod';

/** How a measure of a sparse layer is combined over micro-batches and ranks, and where the result is shown. */
interface Measure {
  /**
   * How the numbers of ranks are combined one by one; a mean is a sum and a count on each. Those of micro-batches add
   * up. A derived measure is computed from others by src/run/step-aggregator.ts.
   */
  readonly overRanks: 'sum' | 'same' | 'mean' | 'derived';
  /** Description of its Prometheus metric, which measures with different labels may share. */
  readonly help: string;
  /**
   * Name of a counter, which ends in `_total` and adds up numbers by expert, or of a gauge of the last step, which is
   * their mean and absent where one of them is 0.
   */
  readonly prometheus: string;
  /** Labels of its series beside the layer. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Label by which its numbers are separate series. */
  readonly separate?: 'expert' | 'tier';
  /**
   * Value of its column on the page: its share of the routed choices, or of the sum of all measures with such a column,
   * or itself, over several layers the mean where it is known.
   */
  readonly column?: 'share of routed' | 'share of places' | 'value';
  /** Title of its column among the numbers of a step on the page, where it is missing without one. */
  readonly title?: string;
}

const about = z.registry<Measure>();

const count = () => z.int().nonnegative();
/** Checks the numbers in one loop, as a line of metrics.ndjson may have tens of thousands. */
const byExpert = (isOther: (value: number) => boolean) =>
  z.custom<number[]>(
    (values) => Array.isArray(values) && !values.some(isOther),
    'is no list of such numbers by expert',
  );
const counts = () => byExpert((value) => !(Number.isSafeInteger(value) && value >= 0));

const dropped = (reason: string, title: string) =>
  counts().register(about, {
    overRanks: 'sum',
    help: 'Choices that were dropped: the expert was full (over_capacity) or preferred others (not_chosen)',
    prometheus: 'locmoe_dropped_choices_total',
    labels: { reason },
    column: 'share of routed',
    title,
  });
const travelled = (tier: string, shown?: { readonly title: string }) =>
  count().register(about, {
    overRanks: 'sum',
    help: 'Kept choices by how far the token travelled to its expert: same_worker, same_node, other_node',
    prometheus: 'locmoe_dispatched_choices_total',
    labels: { tier },
    column: 'share of places',
    ...shown,
  });

/**
 * The measures of a sparse layer in one step, over all ranks, which report them by name (`LayerReport.measures`). New
 * ones are optional, as earlier runs lack them.
 */
export const layerMeasures = z.object({
  routed: counts().register(about, {
    overRanks: 'sum',
    help: 'Choices of an expert for a token before drops, by sparse layer; kept and dropped ones add up to them',
    prometheus: 'locmoe_routed_choices_total',
  }),
  overCapacity: dropped('over_capacity', '– over capacity'),
  notChosen: dropped('not_chosen', '– not chosen'),
  kept: counts().register(about, {
    overRanks: 'sum',
    help: 'Choices that were kept, by sparse layer and expert: the load of the expert',
    prometheus: 'locmoe_expert_choices_total',
    separate: 'expert',
  }),
  sameWorker: travelled('same_worker'),
  sameNode: travelled('same_node'),
  otherNode: travelled('other_node', { title: 'tokens to other nodes' }),
  bytes: z.object({ sameWorker: count(), sameNode: count(), otherNode: count() }).register(about, {
    overRanks: 'derived',
    help: 'Bytes of activations by how far they travelled in the forward pass, there and back',
    prometheus: 'locmoe_dispatched_bytes_total',
    separate: 'tier',
  }),
  /** By expert; 0 if it is unlimited. */
  capacity: byExpert((value) => !(Number.isFinite(value) && value >= 0)).register(about, {
    overRanks: 'same',
    help: 'Choices that an expert takes from all ranks in a step, mean of the layer; absent where nothing limits it',
    prometheus: 'locmoe_expert_capacity_choices',
  }),
  capacityRatio: z.number().nullable().register(about, {
    overRanks: 'derived',
    help: "Mean capacity over the classic one with the run's capacity factor; absent where nothing limits it",
    prometheus: 'locmoe_expert_capacity_ratio',
    column: 'value',
  }),
  gateCosine: z.number().nullable().register(about, {
    overRanks: 'mean',
    help: 'Mean cosine between tokens and the gates of their experts; absent where experts have no gate vector',
    prometheus: 'locmoe_gate_cosine',
    column: 'value',
    title: 'cosine to gates',
  }),
});

export type LayerMeasureName = keyof typeof layerMeasures.shape;

/** Descriptions of the measures, by name. */
export const LAYER_MEASURES = Object.entries(layerMeasures.shape).map(([name, schema]) => ({
  name: name as LayerMeasureName,
  schema: schema as z.ZodType,
  isByExpert: schema.safeParse([]).success,
  ...about.get(schema)!,
}));
type LayerMeasure = (typeof LAYER_MEASURES)[number];

const REPORTED = LAYER_MEASURES.filter(({ overRanks }) => overRanks !== 'derived');
const REPORTED_NAMES: ReadonlySet<string> = new Set(REPORTED.map(({ name }) => name));

/** Measures on a rank: a number, one for each expert, or the sum and the count of a mean. */
export type LayerNumbers = { readonly [Name in LayerMeasureName]?: number | ArrayLike<number> };

/** Measures in a rank's report, by name: counts, which take less room in a message, or other numbers. */
type Reported = Readonly<Record<string, { readonly counts: number[]; readonly values: number[] }>>;

/** Returns the measures of a rank in a step for its report, from those of its micro-batches. */
export function reportMeasures(batches: readonly LayerNumbers[]): Reported {
  const reported: { -readonly [Name in keyof Reported]: Reported[Name] } = {};
  for (const { name } of REPORTED) {
    const numbers = sumOf(batches.map((batch) => batch[name]));
    const areCounts = numbers?.every((each) => each >>> 0 === each);
    if (numbers !== null)
      reported[name] = areCounts ? { counts: numbers, values: [] } : { counts: [], values: numbers };
  }
  return reported;
}

/** Returns a measure over all ranks, as it is recorded. */
export function measureOverRanks(measure: LayerMeasure, ranks: readonly Reported[]) {
  const lists = ranks.map((reported) => numbersIn(reported, measure.name));
  return recordedValue(measure, sumOf(measure.overRanks === 'same' ? lists.slice(0, 1) : lists));
}

/** Returns what no rank can report; null if there is nothing. */
export function findProblem(reported: Reported, numExperts: number): string | null {
  const other = Object.keys(reported).find((key) => !REPORTED_NAMES.has(key));
  if (other !== undefined) return `${other} is no measure`;
  for (const measure of REPORTED) {
    const numbers = numbersIn(reported, measure.name) ?? null;
    const length = measure.isByExpert ? numExperts : measure.overRanks === 'mean' ? 2 : 1;
    if (numbers !== null && numbers.length !== length)
      return `${measure.name} has ${numbers.length} numbers instead of ${length}`;
    const [issue] = measure.schema.safeParse(recordedValue(measure, numbers)).error?.issues ?? [];
    if (issue !== undefined) return `${measure.name}: ${issue.message}`;
  }
  return null;
}

function numbersIn(reported: Reported, name: string): readonly number[] | undefined {
  const numbers = reported[name];
  return numbers?.values.length === 0 ? numbers.counts : numbers?.values;
}

/** Adds up the numbers of micro-batches or ranks, one by one; null if none has any. */
function sumOf(lists: readonly (number | ArrayLike<number> | undefined)[]): number[] | null {
  const sums: number[] = [];
  for (const list of lists) {
    const numbers = typeof list === 'number' ? [list] : (list ?? []);
    for (let i = 0; i < numbers.length; i++) sums[i] = (sums[i] ?? 0) + numbers[i]!;
  }
  return sums.length === 0 ? null : sums;
}

/** Returns a measure as it is recorded; null if it was not measured, or is a mean of nothing. */
function recordedValue({ isByExpert, overRanks }: LayerMeasure, numbers: readonly number[] | null) {
  if (numbers === null || isByExpert) return numbers;
  const [number, count] = numbers as [number, number];
  if (overRanks !== 'mean') return number;
  return count > 0 ? number / count : null;
}
