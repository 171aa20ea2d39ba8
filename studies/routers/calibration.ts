import type { RunConfig } from 'locmoe/internal/config/schema';

export type InterNodeLink = RunConfig['cluster']['interNodeLink'];

/** Share of PanGu-Sigma's step spent in all-to-all on 128 and on 256 NPUs (LocMoE, arXiv 2401.13920). */
export const PAPER_SHARE = { least: 0.181, most: 0.2874 } as const;
/** Close to the larger share, of the larger cluster, where most can be saved. */
const TARGET_SHARE = 0.275;
/** Tolerance: a share this close needs no further run. */
const CLOSE_ENOUGH = 0.015;
const MAX_TRIES = 6;
const LATENCY_MS = 0.1;
const FIRST_GBPS = 1;

export interface Trial {
  readonly link: InterNodeLink;
  readonly share: number;
}

export interface Calibration {
  readonly link: InterNodeLink;
  /** Share reached by the trial with this link; null if the link was given. */
  readonly share: number | null;
  readonly trials: readonly Trial[];
}

export function linkOf(gbps: number): InterNodeLink {
  return { gbps, latencyMs: LATENCY_MS };
}

/**
 * Searches the link bandwidth at which all-to-all takes the share of the step reported for the paper's larger
 * cluster. With share s, time in all-to-all over the rest of the step is s / (1 - s). The part of it that the
 * link adds falls as 1/gbps, so each trial gives the next guess.
 *
 * @param shareWith measures the share of a step with a link, by a short run of the baseline
 * @returns the trial closest to the target; without a limit if the share is too high even so
 */
export async function calibrate(shareWith: (link: InterNodeLink) => Promise<number>): Promise<Calibration> {
  const trials: Trial[] = [];
  const measure = async (link: InterNodeLink) => {
    const share = await shareWith(link);
    trials.push({ link, share });
    return share;
  };
  const unlimited = await measure(null);
  let gbps = FIRST_GBPS;
  while (trials.length < MAX_TRIES && !trials.some(isCloseEnough) && unlimited < TARGET_SHARE) {
    const share = await measure(linkOf(gbps));
    gbps = nextGuess(gbps, odds(share) - odds(unlimited));
  }
  const best = trials.reduce((a, b) => (distance(b) < distance(a) ? b : a));
  return { ...best, trials };

  function nextGuess(tried: number, added: number): number {
    const wanted = odds(TARGET_SHARE) - odds(unlimited);
    // Noise may hide the effect of a fast link; then try a quarter of its bandwidth.
    const factor = Math.min(4, Math.max(1 / 4, added / wanted));
    return Number((tried * factor).toPrecision(3));
  }
}

function odds(share: number): number {
  return share / (1 - share);
}

function distance({ share }: Trial): number {
  return Math.abs(share - TARGET_SHARE);
}

function isCloseEnough(trial: Trial): boolean {
  return distance(trial) <= CLOSE_ENOUGH;
}
