import type { Timeouts } from '../config/timeouts.js';
import type { RankView } from '../run/run-listener.js';

/** A rank that is judged unable to recover. */
export interface Hang {
  readonly rank: number;
  readonly node: number;
  /** Evidence for the hang. */
  readonly reason: string;
}

/** Phases that may take long without progress in the control block, as they wait for no other rank. */
const QUIET_PHASES = ['starting', 'validate', 'checkpoint'];

/**
 * Finds ranks that are stopped, or that make no progress while others wait for them in a collective. A rank that no
 * other waits for may compute for long; it hangs only after the time allowed for loading it.
 */
export function findHangs(ranks: readonly RankView[], { stoppedMs, hangMs, startMs }: Timeouts): Hang[] {
  const living = ranks.filter(({ processState }) => !['X', 'Z'].includes(processState));
  const waiting = living.filter((each) => each.stalledMs >= hangMs).sort((a, b) => b.stalledMs - a.stalledMs);
  return living.flatMap((each): Hang[] => {
    const { rank, node, idleMs } = each;
    const others = waiting.filter((other) => other.rank !== rank && waitsFor(other, each));
    const missed = others.length === 0 ? '' : `; ${describeMissing(others[0]!, living)}`;
    if (each.stoppedMs >= stoppedMs)
      return [{ rank, node, reason: `has been stopped (SIGSTOP) for ${inS(each.stoppedMs)}${missed}` }];
    const isAlone = idleMs >= startMs && !QUIET_PHASES.includes(each.phase);
    if (isAlone || (idleMs >= hangMs && others.length > 0))
      return [{ rank, node, reason: `has made no progress for ${inS(idleMs)}${missed}` }];
    return [];
  });
}

function waitsFor(waiting: RankView, { rank, sequence }: RankView): boolean {
  return waiting.waitingFor === rank || waiting.sequence > sequence;
}

/** Describes the missing ranks, e.g. `all-to-all dispatch layer 2 (operation 812): missing ranks {3}`. */
function describeMissing({ operation, sequence, waitingFor }: RankView, ranks: readonly RankView[]): string {
  const missing = ranks.filter((each) => each.sequence < sequence).map(({ rank }) => rank);
  return missing.length === 0
    ? `${operation}: rank ${waitingFor} entered it, but makes no progress`
    : `${operation}: missing ranks {${missing.join(', ')}}`;
}

function inS(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
