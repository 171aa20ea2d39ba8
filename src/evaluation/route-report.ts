import type { RouteRow } from '@locmoe/run-format/routes-file';
import { groupBy, type NonEmpty } from '../group-by.js';
import { CounterRandom } from '../parameters/counter-random.js';
import { total } from './statistics.js';

// What decides the choices of a router, from recorded routes. Entropies are in bits.

/** Known facts about a token, from which its choice is predicted. */
const KEYS = {
  nothing: (row: RouteRow) => `${row.choice}`,
  domain: (row: RouteRow) => `${row.choice} ${row.domain}`,
  position: (row: RouteRow) => `${row.choice} ${row.position}`,
  id: (row: RouteRow) => `${row.choice} ${row.token}`,
  'id and domain': (row: RouteRow) => `${row.choice} ${row.token} ${row.domain}`,
} as const satisfies Readonly<Record<string, (row: RouteRow) => string>>;
type Known = keyof typeof KEYS;
const KNOWN = Object.keys(KEYS) as Known[];

/** What is predicted: the expert, or the expert and whether it keeps the token. */
const LABELS = {
  expert: (row: RouteRow) => `${row.expert}`,
  outcome: (row: RouteRow) => `${row.expert} ${row.outcome}`,
} as const;
type Label = keyof typeof LABELS;

export interface Prediction {
  /** Share of choices of held-out sequences that the most frequent choice of the other half predicts. */
  readonly share: number;
  /** Share of the held-out choices whose key occurs in the other half; the rest is left out of `share`. */
  readonly coverage: number;
}

export interface LayerRoutes {
  readonly layer: number;
  readonly choices: number;
  readonly kept: number;
  readonly predicted: Readonly<Record<Label, Readonly<Record<Known, Prediction>>>>;
  /** As `predicted.expert['id and domain']`, with the experts dealt anew over the rows: the floor of the measure. */
  readonly shuffled: Prediction;
  /** Entropy of the expert, and what is left of it where a fact is known (Miller-Madow estimates). */
  readonly entropy: Readonly<Record<Known, number>>;
  /** Share of choices 0 that are the expert which the gate alone ranks first; null without a gate. */
  readonly gateShare: number | null;
  /** Mean difference between the best and the second best score; null without a gate or with one open expert. */
  readonly margin: number | null;
  readonly experts: readonly ExpertRoutes[];
  /** Kept choices of an expert over their mean: percentiles over the experts. */
  readonly load: { readonly p10: number; readonly p50: number; readonly p90: number; readonly max: number };
}

export interface ExpertRoutes {
  readonly expert: number;
  readonly choices: number;
  readonly kept: number;
  readonly domains: Readonly<Record<string, number>>;
  /** Token ids by their number of choices, most first. */
  readonly mostTaken: readonly TakenToken[];
  /** The same by the share of the id's choices that are this expert's, among ids with at least ten choices. */
  readonly mostExclusive: readonly TakenToken[];
}

export interface TakenToken {
  readonly token: number;
  readonly choices: number;
  /** Share of the choices of this id. */
  readonly share: number;
}

const MOST_TOKENS = 8;
const LEAST_CHOICES = 10;

/** Reports on each sparse layer. @param rows of any steps and ranks */
export function reportRoutes(rows: readonly RouteRow[]): LayerRoutes[] {
  return [...groupBy(rows, ({ layer }) => layer)]
    .sort(([a], [b]) => a - b)
    .map(([layer, ofLayer]) => reportLayer(layer, ofLayer));
}

function reportLayer(layer: number, rows: NonEmpty<RouteRow>): LayerRoutes {
  const first = rows.filter(({ choice }) => choice === 0);
  const margins = first.flatMap(({ margin }) => margin ?? []);
  const withGate = first.filter(({ gateExpert }) => gateExpert !== null);
  const experts = [...groupBy(rows, ({ expert }) => expert)]
    .sort(([a], [b]) => a - b)
    .map(([expert, ofExpert]) =>
      reportExpert(
        expert,
        ofExpert,
        countsOf(rows, ({ token }) => token),
      ),
    );
  const loads = experts.map(({ kept }) => kept).sort((a, b) => a - b);
  const meanLoad = total(loads) / loads.length;
  const percentile = (share: number) => loads[Math.floor(share * (loads.length - 1))]! / meanLoad;
  const predictedBy = (label: Label) => ofKnown((known) => predict(rows, KEYS[known], LABELS[label]));
  return {
    layer,
    choices: rows.length,
    kept: rows.filter(isKept).length,
    predicted: { expert: predictedBy('expert'), outcome: predictedBy('outcome') },
    shuffled: predict(rows, KEYS['id and domain'], shuffledExperts(rows)),
    entropy: ofKnown((known) => conditionalEntropy(rows, KEYS[known])),
    gateShare:
      withGate.length === 0
        ? null
        : withGate.filter(({ expert, gateExpert }) => expert === gateExpert).length / withGate.length,
    margin: margins.length === 0 ? null : total(margins) / margins.length,
    experts,
    load: { p10: percentile(0.1), p50: percentile(0.5), p90: percentile(0.9), max: percentile(1) },
  };
}

function isKept({ outcome }: RouteRow): boolean {
  return outcome === 'kept';
}

function ofKnown<Value>(of: (known: Known) => Value): Record<Known, Value> {
  return Object.fromEntries(KNOWN.map((known) => [known, of(known)])) as Record<Known, Value>;
}

function countsOf<Key>(rows: readonly RouteRow[], keyOf: (row: RouteRow) => Key): Map<Key, number> {
  const counts = new Map<Key, number>();
  for (const row of rows) counts.set(keyOf(row), (counts.get(keyOf(row)) ?? 0) + 1);
  return counts;
}

function reportExpert(
  expert: number,
  rows: NonEmpty<RouteRow>,
  choicesOfToken: ReadonlyMap<number, number>,
): ExpertRoutes {
  const tokens = [...countsOf(rows, ({ token }) => token)].map(([token, choices]) => ({
    token,
    choices,
    share: choices / choicesOfToken.get(token)!,
  }));
  return {
    expert,
    choices: rows.length,
    kept: rows.filter(isKept).length,
    domains: Object.fromEntries(countsOf(rows, ({ domain }) => domain)),
    mostTaken: tokens.toSorted((a, b) => b.choices - a.choices || a.token - b.token).slice(0, MOST_TOKENS),
    mostExclusive: tokens
      .filter(({ token }) => choicesOfToken.get(token)! >= LEAST_CHOICES)
      .sort((a, b) => b.share - a.share || b.choices - a.choices || a.token - b.token)
      .slice(0, MOST_TOKENS),
  };
}

/**
 * Predicts the label of each row in half of the sequences by the most frequent one of its key in the other half. A share of
 * the rows that were counted themselves would be 1 for every key that occurs once. The halves are drawn, as sequences
 * of a batch take turns by domain.
 */
function predict(
  rows: readonly RouteRow[],
  keyOf: (row: RouteRow) => string,
  labelOf: (row: RouteRow) => string,
): Prediction {
  const counts = new Map<string, Map<string, number>>();
  const draw = new CounterRandom(1, 'routes.halves');
  const isCounted = ({ step, sequence }: RouteRow) => draw.uniform(0x10001 * step + sequence) < 0.5;
  for (const row of rows) {
    if (!isCounted(row)) continue;
    const ofKey = counts.get(keyOf(row)) ?? new Map<string, number>();
    counts.set(keyOf(row), ofKey.set(labelOf(row), (ofKey.get(labelOf(row)) ?? 0) + 1));
  }
  const best = new Map(
    [...counts].map(([key, ofKey]) => [key, [...ofKey].reduce((a, b) => (b[1] > a[1] ? b : a))[0]]),
  );
  const heldOut = rows.filter((row) => !isCounted(row));
  const known = heldOut.filter((row) => best.has(keyOf(row)));
  const right = known.filter((row) => best.get(keyOf(row)) === labelOf(row));
  return { share: right.length / known.length, coverage: known.length / heldOut.length };
}

/** Labels that have nothing to do with the rows, as frequent as the experts are. */
function shuffledExperts(rows: readonly RouteRow[]): (row: RouteRow) => string {
  const order = new CounterRandom(1, 'routes.shuffled').permutation(rows.length);
  const labels = new Map(rows.map((row, i) => [row, `${rows[order[i]!]!.expert}`]));
  return (row) => labels.get(row)!;
}

/** H(expert | key) with the correction of Miller and Madow: (labels - 1) / 2 n nats for each key with n rows. */
function conditionalEntropy(rows: readonly RouteRow[], keyOf: (row: RouteRow) => string): number {
  let nats = 0;
  for (const ofKey of groupBy(rows, keyOf).values()) {
    const counts = [...countsOf(ofKey, ({ expert }) => expert).values()];
    for (const count of counts) nats -= count * Math.log(count / ofKey.length);
    nats += (counts.length - 1) / 2;
  }
  return nats / rows.length / Math.LN2;
}
