import type { RouteRow } from '@locmoe/run-format/routes-file';
import { groupBy, type NonEmpty } from '../group-by.js';
import { CounterRandom } from '../parameters/counter-random.js';
import { total } from './statistics.js';

// Recorded routes show what decides the choices of a router. Entropies are in bits.

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

/** A prediction is of the expert, or of the expert and whether it keeps the token. */
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
  const keys = ofKnown((known) => rows.map(KEYS[known]));
  const labels = { expert: rows.map(LABELS.expert), outcome: rows.map(LABELS.outcome) };
  // The halves are drawn, as sequences of a batch take turns by domain.
  const draw = new CounterRandom(1, 'routes.halves');
  const isCounted = rows.map(({ step, sequence }) => draw.uniform(0x10001 * step + sequence) < 0.5);
  const predictedBy = (label: Label) => ofKnown((known) => predict(keys[known], labels[label], isCounted));
  const dealt = new CounterRandom(1, 'routes.shuffled').permutation(rows.length);
  return {
    layer,
    choices: rows.length,
    kept: rows.filter(isKept).length,
    predicted: { expert: predictedBy('expert'), outcome: predictedBy('outcome') },
    shuffled: predict(
      keys['id and domain'],
      labels.expert.map((_, i) => labels.expert[dealt[i]!]!),
      isCounted,
    ),
    entropy: ofKnown((known) => conditionalEntropy(keys[known], labels.expert)),
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
 * Predicts the label of each row that is not counted by the most frequent one of its key in the rows that are. A share of the
 * counted rows themselves would be 1 for every key that occurs once.
 */
function predict(
  keys: readonly string[],
  labels: readonly string[],
  isCounted: readonly boolean[],
): Prediction {
  const best = new Map<string, string>();
  for (const [key, counts] of labelsByKey(keys, labels, isCounted))
    best.set(key, [...counts].reduce((a, b) => (b[1] > a[1] ? b : a))[0]);
  let heldOut = 0;
  let known = 0;
  let right = 0;
  keys.forEach((key, i) => {
    if (isCounted[i]) return;
    heldOut++;
    const label = best.get(key);
    if (label === undefined) return;
    known++;
    if (label === labels[i]) right++;
  });
  return { share: right / known, coverage: known / heldOut };
}

/** How often each label occurs with each key, in the rows that are counted. */
function labelsByKey(
  keys: readonly string[],
  labels: readonly string[],
  isCounted?: readonly boolean[],
): Map<string, Map<string, number>> {
  const found = new Map<string, Map<string, number>>();
  keys.forEach((key, i) => {
    if (isCounted?.[i] === false) return;
    const counts = found.get(key) ?? new Map<string, number>();
    found.set(key, counts.set(labels[i]!, (counts.get(labels[i]!) ?? 0) + 1));
  });
  return found;
}

/** H(label | key) in bits, with the correction of Miller and Madow: (labels - 1) / 2 n nats for each key with n rows. */
function conditionalEntropy(keys: readonly string[], labels: readonly string[]): number {
  let nats = 0;
  for (const counts of labelsByKey(keys, labels).values()) {
    const n = total([...counts.values()]);
    for (const count of counts.values()) nats -= count * Math.log(count / n);
    nats += (counts.size - 1) / 2;
  }
  return nats / keys.length / Math.LN2;
}
