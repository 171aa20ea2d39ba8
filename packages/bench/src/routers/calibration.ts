import type { RunConfig } from 'locmoe/config/schema';

export type InterNodeLink = RunConfig['cluster']['interNodeLink'];

/** Shares of PanGu-Sigma's step that All-To-All took on 128 and on 256 NPUs (LocMoE, arXiv 2401.13920). */
export const PAPER_SHARE = { least: 0.181, most: 0.2874 } as const;
/** Near the greater, that of the larger cluster: there is most to save. */
const TARGET_SHARE = 0.275;
/** A share this close to it is not worth another run. */
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
  /** What the short run with this link reached; null if the link was given. */
  readonly share: number | null;
  readonly trials: readonly Trial[];
}

export function linkOf(gbps: number): InterNodeLink {
  return { gbps, latencyMs: LATENCY_MS };
}

/**
 * Searches the link between nodes at which all-to-all takes what it took in the paper's larger cluster. The time
 * on the wire falls as 1/gbps, and time over the rest of the step is share / (1 - share): so what the link adds to
 * these odds falls as 1/gbps, and each trial gives the next guess.
 *
 * @param shareWith measures the share of a step with a link, by a short run of the baseline; null if it was stopped
 * @returns the trial nearest to the target; without a limit if the share is too high even so; null if stopped
 */
export async function calibrate(
  shareWith: (link: InterNodeLink) => Promise<number | null>,
): Promise<Calibration | null> {
  const trials: Trial[] = [];
  const measure = async (link: InterNodeLink) => {
    const share = await shareWith(link);
    if (share !== null) trials.push({ link, share });
    return share;
  };
  const unlimited = await measure(null);
  if (unlimited === null) return null;
  let gbps = FIRST_GBPS;
  while (trials.length < MAX_TRIES && !trials.some(isCloseEnough) && unlimited < TARGET_SHARE) {
    const share = await measure(linkOf(gbps));
    if (share === null) return null;
    gbps = nextGuess(gbps, odds(share) - odds(unlimited));
  }
  const best = trials.reduce((a, b) => (distance(b) < distance(a) ? b : a));
  return { ...best, trials };

  function nextGuess(tried: number, added: number): number {
    const wanted = odds(TARGET_SHARE) - odds(unlimited ?? 0);
    // Noise can hide what a fast link adds: then a link a quarter as fast is tried.
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
