import type { ExpertRoutes, TakenToken } from '../api-routes.js';
import { OUTCOMES } from './route-columns.js';
import type { StepIndex } from './step-index.js';

const MOST_LISTED = 16;
/** An id with fewer choices says little about which experts it prefers. */
const LEAST_CHOICES = 5;

/** @returns null if no token of the step chose the expert in this layer */
export function expertRoutes(
  { step, columns, domains, rangesOf }: StepIndex,
  { layer, expert }: { readonly layer: number; readonly expert: number },
  textOf: (id: number) => string | null,
): ExpertRoutes | null {
  const outcomes = { kept: 0, 'over capacity': 0, 'not chosen': 0 };
  const [byId, byDomain, bySequence] = [new Counts<number>(), new Counts<number>(), new Counts<number>()];
  const byPlace = new Counts<string>();
  const ofId = new Counts<number>();
  let ofLayer = 0;
  const domainOf = new Map<number, string>();
  for (const [sequence, ranges] of rangesOf)
    for (const { begin, end } of ranges.filter((range) => range.layer === layer))
      for (let row = begin; row < end; row++) {
        ofLayer++;
        const id = columns.token[row]!;
        ofId.add(id);
        if (columns.expert[row] !== expert) continue;
        outcomes[OUTCOMES[columns.outcome[row]!]!]++;
        byId.add(id);
        byDomain.add(columns.domain[row]!);
        bySequence.add(sequence);
        domainOf.set(sequence, domains[columns.domain[row]!]!);
        byPlace.add(`${columns.expertRank[row]} ${columns.expertNode[row]}`);
      }
  if (byId.size === 0) return null;
  const taken = byId
    .mostFirst()
    .map(([token, choices]) => ({ token, choices, share: choices / ofId.of(token) }));
  const named = (tokens: readonly Omit<TakenToken, 'text'>[]) =>
    tokens
      .slice(0, MOST_LISTED)
      .map(({ token, choices, share }) => ({ token, text: textOf(token), choices, share }));
  const often = taken.filter(({ token }) => ofId.of(token) >= LEAST_CHOICES);
  return {
    step,
    layer,
    expert,
    outcomes,
    ofLayer,
    places: byPlace
      .mostFirst()
      .slice(0, MOST_LISTED)
      .map(([place, choices]) => {
        const [rank = 0, node = 0] = place.split(' ').map(Number);
        return { rank, node, choices };
      }),
    domains: byDomain.mostFirst().map(([domain, choices]) => ({ domain: domains[domain]!, choices })),
    mostTaken: named(taken),
    mostExclusive: named(often.sort((a, b) => b.share - a.share || b.choices - a.choices)),
    sequences: bySequence
      .mostFirst()
      .slice(0, MOST_LISTED)
      .map(([sequence, choices]) => {
        return { sequence, domain: domainOf.get(sequence)!, choices };
      }),
  };
}

class Counts<K> {
  readonly #counts = new Map<K, number>();

  get size(): number {
    return this.#counts.size;
  }

  add(key: K): void {
    this.#counts.set(key, this.of(key) + 1);
  }

  of(key: K): number {
    return this.#counts.get(key) ?? 0;
  }

  /** Sorts by count; keys with equal counts keep their order of insertion. */
  mostFirst(): [K, number][] {
    return [...this.#counts].sort(([, a], [, b]) => b - a);
  }
}
