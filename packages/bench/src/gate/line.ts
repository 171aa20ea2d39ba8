import { differenceOf, type Pair, withInterval } from '../pairs.js';
import { percent, signedPercent } from '../statistics.js';

/** A figure of a router and of its table; null if there is none. */
interface Beside {
  readonly own: number | null;
  readonly table: number | null;
}

/** All figures of the line. Shares are fractions. */
export interface Compared {
  /** Names of the router and of its table. */
  readonly labels: { readonly own: string; readonly table: string };
  /** Perplexities, by seed. */
  readonly perplexity: readonly Pair[];
  readonly idShare: number | null;
  readonly localShare: Beside;
  readonly stepMs: { readonly own: number; readonly table: number };
  readonly cacheHits: Beside;
}

/** Describes a router beside its table in one line. */
export function lineOf({ labels, perplexity, idShare, localShare, stepMs, cacheHits }: Compared): string {
  return [
    `${labels.own}: perplexity ${withInterval(differenceOf(perplexity)!)} against ${labels.table}`,
    `as the id before ${shareText(idShare)}`,
    `on its node ${besideText(localShare)}`,
    `step ${signedPercent(stepMs.own / stepMs.table - 1)}`,
    `cache hits ${besideText(cacheHits)}`,
  ].join('; ');
}

function besideText({ own, table }: Beside): string {
  return `${shareText(own)} (table ${shareText(table)})`;
}

function shareText(share: number | null): string {
  return share === null ? 'none' : percent(share);
}
