import type { RouteRow } from '@locmoe/run-format/routes-file';
import { groupBy } from '../../group-by.js';

/** The choices that go to one expert. */
export interface ExpertRoutes {
  readonly expert: number;
  readonly choices: number;
  readonly kept: number;
  readonly domains: Readonly<Record<string, number>>;
  /** Token ids by their number of choices, most first. */
  readonly mostTaken: readonly TakenToken[];
  /** Token ids by the share of their choices that go to this expert, among ids with at least ten choices. */
  readonly mostExclusive: readonly TakenToken[];
}

export interface TakenToken {
  readonly token: number;
  readonly choices: number;
  /** Share of the id's choices that go to this expert. */
  readonly share: number;
}

/** Two experts, and the overlap of their ids: the sum over ids of the smaller of the two experts' shares, 0 to 1. */
export interface ExpertOverlap {
  readonly experts: readonly [number, number];
  readonly overlap: number;
}

const MOST_TOKENS = 8;
const LEAST_CHOICES = 10;

export function expertsOf(rows: readonly RouteRow[]): ExpertRoutes[] {
  const ofToken = countBy(rows, ({ token }) => token);
  return byExpert(rows).map(([expert, ofExpert]) => {
    const tokens = [...countBy(ofExpert, ({ token }) => token)].map(([token, choices]) => ({
      token,
      choices,
      share: choices / ofToken.get(token)!,
    }));
    return {
      expert,
      choices: ofExpert.length,
      kept: ofExpert.filter(isKept).length,
      domains: Object.fromEntries(countBy(ofExpert, ({ domain }) => domain)),
      mostTaken: tokens.toSorted((a, b) => b.choices - a.choices || a.token - b.token).slice(0, MOST_TOKENS),
      mostExclusive: tokens
        .filter(({ token }) => ofToken.get(token)! >= LEAST_CHOICES)
        .sort((a, b) => b.share - a.share || b.choices - a.choices || a.token - b.token)
        .slice(0, MOST_TOKENS),
    };
  });
}

/** Overlaps of every pair of experts, the greatest first. */
export function overlapsOf(rows: readonly RouteRow[]): ExpertOverlap[] {
  const shares = byExpert(rows).map(([expert, ofExpert]) => {
    const counts = countBy(ofExpert, ({ token }) => token);
    return { expert, share: (token: number) => (counts.get(token) ?? 0) / ofExpert.length, counts };
  });
  return shares
    .flatMap((a, i) =>
      shares.slice(i + 1).map((b) => ({
        experts: [a.expert, b.expert] as const,
        overlap: [...a.counts.keys()].reduce(
          (sum, token) => sum + Math.min(a.share(token), b.share(token)),
          0,
        ),
      })),
    )
    .sort((a, b) => b.overlap - a.overlap);
}

export function isKept({ outcome }: RouteRow): boolean {
  return outcome === 'kept';
}

function byExpert(rows: readonly RouteRow[]) {
  return [...groupBy(rows, ({ expert }) => expert)].sort(([a], [b]) => a - b);
}

function countBy<Key>(rows: readonly RouteRow[], keyOf: (row: RouteRow) => Key): Map<Key, number> {
  const counts = new Map<Key, number>();
  for (const row of rows) counts.set(keyOf(row), (counts.get(keyOf(row)) ?? 0) + 1);
  return counts;
}
