/** Divisible by 1 to 10 and by 100, so that equal weights and whole percentages are exact. */
const PERIOD = 50_400;

/** The domain of the g-th sequence of a run, and the number of earlier sequences of that domain. */
export interface DomainMixture {
  at(sequence: number): { readonly domain: number; readonly ordinal: number };
}

/**
 * Interleaves domains by weight as evenly as integers allow: in every prefix of the run, each domain is
 * within about one sequence of its share. The pattern repeats after 50,400 sequences, so `at` is a lookup.
 *
 * @param weights positive weights of any scale, one per domain
 */
export function domainMixture(weights: readonly number[]): DomainMixture {
  const quotas = quotasOf(weights);
  const counts = quotas.map(() => 0);
  const domains = new Uint16Array(PERIOD);
  const ordinals = new Uint32Array(PERIOD);
  for (let slot = 0; slot < PERIOD; slot++) {
    const domain = mostUrgent(quotas, counts, slot);
    domains[slot] = domain;
    ordinals[slot] = counts[domain]!++;
  }
  return {
    at(sequence) {
      const slot = sequence % PERIOD;
      const domain = domains[slot]!;
      const periods = Math.floor(sequence / PERIOD);
      return { domain, ordinal: periods * quotas[domain]! + ordinals[slot]! };
    },
  };
}

/** Returns integers that sum to PERIOD, in proportion to the weights (largest remainders), each at least 1. */
function quotasOf(weights: readonly number[]): number[] {
  const total = weights.reduce((a, b) => a + b, 0);
  const exact = weights.map((weight) => (weight / total) * PERIOD);
  const quotas = exact.map((quota) => Math.max(1, Math.floor(quota)));
  const byRemainder = exact
    .map((quota, domain) => ({ domain, remainder: quota - quotas[domain]! }))
    .sort((a, b) => b.remainder - a.remainder || a.domain - b.domain);
  let left = PERIOD - quotas.reduce((a, b) => a + b, 0);
  for (let i = 0; left > 0; i++, left--) quotas[byRemainder[i]!.domain]!++;
  // Tiny weights were rounded up to 1, at the expense of the largest quota.
  quotas[quotas.indexOf(Math.max(...quotas))]! += left;
  return quotas;
}

/** Returns the domain that is owed a slot and whose next slot is due first (Tijdeman's chairman assignment). */
function mostUrgent(quotas: readonly number[], counts: readonly number[], slot: number): number {
  const slack = quotas.length > 1 ? 1 / (2 * quotas.length - 2) : 0;
  let best = -1;
  let bestDue = Number.POSITIVE_INFINITY;
  for (let domain = 0; domain < quotas.length; domain++) {
    const share = quotas[domain]! / PERIOD;
    if (share * (slot + 1) - counts[domain]! < slack - 1e-9) continue;
    const due = (counts[domain]! + 1 - slack) / share;
    if (due < bestDue) {
      best = domain;
      bestDue = due;
    }
  }
  return best;
}
