import type { RouteRow } from '@locmoe/run-format/routes-file';
import { groupBy, type NonEmpty } from '../../group-by.js';

/** Agreement of the routing at one step with that at the recorded step before it. */
export interface Stability {
  readonly from: number;
  readonly to: number;
  /** Whether both steps routed the same text. */
  readonly sameText: boolean;
  /**
   * Over the same text, the share of choices with the same expert; otherwise the share whose expert is the
   * most frequent one for the same id and domain at the earlier step, among ids that occur there.
   */
  readonly share: number;
}

/** @param rows rows of one layer */
export function stabilityOf(rows: readonly RouteRow[]): Stability[] {
  const steps = [...groupBy(rows, ({ step }) => step)].sort(([a], [b]) => a - b);
  return steps.slice(1).map(([to, after], i) => {
    const [from, before] = steps[i]!;
    return { from, to, ...compare(before, after) };
  });
}

/** Returns the rows of the last step where the last two steps routed the same text, otherwise all rows. */
export function reportedRows(rows: readonly RouteRow[], stability = stabilityOf(rows)): readonly RouteRow[] {
  const last = stability.at(-1);
  return last?.sameText ? rows.filter(({ step }) => step === last.to) : rows;
}

function compare(before: NonEmpty<RouteRow>, after: NonEmpty<RouteRow>) {
  const place = ({ domain, sequence, position, document, choice, token }: RouteRow) =>
    `${domain} ${sequence} ${document} ${position} ${choice} ${token}`;
  const expertAt = new Map(before.map((row) => [place(row), row.expert]));
  const inBoth = after.filter((row) => expertAt.has(place(row)));
  // Two steps over the same text have most choices in common.
  if (inBoth.length > 0.5 * after.length)
    return { sameText: true, share: shareOf(inBoth, (row) => expertAt.get(place(row)) === row.expert) };
  const expertOf = usualExperts(before);
  const known = after.filter((row) => expertOf.has(keyOf(row)));
  return { sameText: false, share: shareOf(known, (row) => expertOf.get(keyOf(row)) === row.expert) };
}

function keyOf({ domain, token, choice }: RouteRow): string {
  return `${domain} ${token} ${choice}`;
}

/** Returns the most frequent expert of each id and domain. */
function usualExperts(rows: readonly RouteRow[]): Map<string, number> {
  return new Map(
    [...groupBy(rows, keyOf)].map(([key, ofKey]) => {
      const [[expert]] = [...groupBy(ofKey, ({ expert }) => expert)].sort(
        ([, a], [, b]) => b.length - a.length,
      ) as [[number, unknown]];
      return [key, expert];
    }),
  );
}

function shareOf(rows: readonly RouteRow[], is: (row: RouteRow) => boolean): number {
  return rows.filter(is).length / rows.length;
}
