import type { RouteRow } from '@locmoe/run-format/routes-file';
import { groupBy } from '../../group-by.js';
import { reportedRows } from './stability.js';

/** Counts what a layer asks of a cache of its experts, over the second half of each domain's sequences. */
export interface CacheReport {
  /** Index among all layers; null for all sparse layers together, each of which has its own cache. */
  readonly layer: number | null;
  readonly numExperts: number;
  readonly lookups: number;
  readonly recorded: ReturnType<typeof figuresOf>;
}

interface Text {
  /** Experts of each token, in the order of its choices. */
  readonly tokens: readonly (readonly number[])[];
  readonly isCounted: boolean;
}

/**
 * Reports how many look-ups 1/8, 1/4 and 1/2 of each layer's experts serve; the last entry is of all layers together.
 * Choices over capacity are looked up as well, since decoding has no capacity; those that an expert refused are not.
 *
 * @param rows rows of any steps and ranks; rows of one sequence are in its order
 * @param knownExperts number of experts in a sparse layer; null for as many as the rows need
 */
export function reportCache(rows: readonly RouteRow[], knownExperts: number | null): CacheReport[] {
  const numExperts = rows.reduce((most, { expert }) => Math.max(most, expert + 1), knownExperts ?? 1);
  const layers = [...groupBy(rows, ({ layer }) => layer)].sort(([a], [b]) => a - b);
  const measured = layers.map(([, ofLayer]) => measure(textsOf(reportedRows(ofLayer)), numExperts));
  const reportOn = (layer: number | null, of: typeof measured): CacheReport => ({
    layer,
    numExperts,
    lookups: of.flatMap(({ tokens }) => tokens).length,
    recorded: figuresOf(of, numExperts),
  });
  return [...layers.map(([layer], i) => reportOn(layer, [measured[i]!])), reportOn(null, measured)];
}

/** Returns the sequences in the order of the steps; the first half of each domain's, rounded down, is not counted. */
function textsOf(rows: readonly RouteRow[]): Text[] {
  const sequences = [
    ...groupBy(rows, ({ step, domain, sequence }) => `${step} ${sequence} ${domain}`).values(),
  ].sort(([a], [b]) => a.step - b.step || a.sequence - b.sequence);
  // Each domain is halved, as a batch may have the sequences of one domain before those of another.
  const ofDomains = [...groupBy(sequences, ([{ domain }]) => domain).values()];
  const firstHalf = new Set(ofDomains.flatMap((all) => all.slice(0, Math.floor(all.length / 2))));
  return sequences.map((each) => ({ tokens: tokensOf(each), isCounted: !firstHalf.has(each) }));
}

function tokensOf(rows: readonly RouteRow[]): number[][] {
  const tokens: number[][] = [];
  let before: RouteRow | undefined;
  for (const row of rows) {
    // Two samples of one token each, packed one after the other, are both at position 0.
    if (row.position !== before?.position || row.choice <= before.choice) tokens.push([]);
    if (row.outcome !== 'not chosen') tokens.at(-1)!.push(row.expert);
    before = row;
  }
  return tokens;
}

/** Measures each counted look-up. */
function measure(texts: readonly Text[], numExperts: number) {
  const expertsOf = (isCounted: boolean) =>
    texts.flatMap((text) => (text.isCounted === isCounted ? text.tokens.flat() : []));
  const uses = new Array<number>(numExperts).fill(0);
  for (const expert of expertsOf(false)) uses[expert]!++;
  const ranked = [...uses.keys()].sort((a, b) => uses[b]! - uses[a]!);
  const overTexts = distancesOf(texts, true);
  return {
    tokens: overTexts.tokens,
    overTexts: overTexts.experts,
    withinText: distancesOf(texts, false).experts,
    // The rank of the expert, from 1, by its uses in the texts that are not counted.
    mostUsed: Math.max(...uses) === 0 ? [] : expertsOf(true).map((expert) => 1 + ranked.indexOf(expert)),
  };
}

/**
 * Returns the reuse distances of the counted look-ups, infinite for a first use. An LRU cache hits if it holds at least as
 * many experts as the distance in experts (Mattson et al., Evaluation techniques for storage hierarchies, IBM Systems
 * Journal 9(2), 1970).
 */
function distancesOf(texts: readonly Text[], isKept: boolean) {
  const distances = { tokens: [] as number[], experts: [] as number[] };
  const lastToken = new Map<number, number>();
  // Experts by their last use, the latest first.
  let recent: number[] = [];
  let token = 0;
  for (const { tokens, isCounted } of texts) {
    if (!isKept) recent = [];
    for (const experts of tokens) {
      for (const expert of experts) {
        const place = recent.indexOf(expert);
        if (isCounted) {
          distances.tokens.push(token - (lastToken.get(expert) ?? Number.NEGATIVE_INFINITY));
          distances.experts.push(place < 0 ? Number.POSITIVE_INFINITY : 1 + place);
        }
        if (place >= 0) recent.splice(place, 1);
        recent.unshift(expert);
        lastToken.set(expert, token);
      }
      token++;
    }
  }
  return distances;
}

/** Computes the figures of one layer, or of several together. */
function figuresOf(layers: readonly ReturnType<typeof measure>[], numExperts: number) {
  const pool = (key: keyof ReturnType<typeof measure>) => layers.flatMap((layer) => layer[key]);
  const hits = (distances: readonly number[], held: number) =>
    distances.filter((distance) => distance <= held).length / distances.length;
  const sizes = new Set([8, 4, 2].map((part) => Math.max(1, Math.floor(numExperts / part))));
  return {
    /** Distances to the last use of the expert: in tokens, and in distinct experts with itself. */
    reuse: { tokens: percentilesOf(pool('tokens')), experts: percentilesOf(pool('overTexts')) },
    /** Shares of the look-ups that hit if so many of a layer's experts are held; NaN if none is counted. */
    hits: Array.from(sizes, (held) => ({
      held,
      withinText: hits(pool('withinText'), held),
      overTexts: hits(pool('overTexts'), held),
      mostUsed: hits(pool('mostUsed'), held),
    })),
  };
}

/** Computes percentiles of the finite values by nearest rank; null if there are none. */
function percentilesOf(values: readonly number[]) {
  const finite = Float64Array.from(values.filter(Number.isFinite)).sort();
  const percentile = (share: number) => finite[Math.ceil(share * finite.length) - 1] ?? null;
  return { p50: percentile(0.5), p90: percentile(0.9) };
}
