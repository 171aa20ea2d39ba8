import type { RankSpeedPoint } from '../../api-types.js';
import { fill, h, heading, numberCell, row, scrollable, table } from '../dom.js';
import { formatShare } from '../format.js';

/** A rank that costs less than this share of the time is not called slow. */
const SLOW_SHARE = 0.02;

const OWN =
  'Own time leaves out the waiting for other ranks, and for a processor that other processes of the machine had.';

/** How long each rank takes for its own part of a step, and which one the others wait for. */
export class RankTimes {
  readonly element = h.section({ class: 'card rank-times', 'aria-label': 'Time by rank' });

  set(speeds: readonly RankSpeedPoint[]): void {
    const head = heading('Time by rank', 'median of the last 200 steps');
    if (speeds.length === 0) {
      fill(this.element, head, h.p({ class: 'empty' }, 'Not recorded.'));
      return;
    }
    const most = Math.max(...speeds.map(({ ownMs }) => ownMs), 1e-9);
    const slowest = speeds.reduce<RankSpeedPoint | null>(
      (worst, each) => (each.lostShare > (worst?.lostShare ?? SLOW_SHARE) ? each : worst),
      null,
    );
    const rows = speeds.map(({ rank, ownMs, lostShare }) =>
      row(
        { class: rank === slowest?.rank ? 'is-slow' : '' },
        `rank ${rank}`,
        numberCell(`${ownMs.toFixed(ownMs < 10 ? 1 : 0)} ms`),
        h.td({ class: 'bar-cell' }, h.i({ class: 'time-bar', style: { '--share': String(ownMs / most) } })),
        numberCell(formatShare(lostShare)),
      ),
    );
    const all = scrollable('table of ranks', table(['', 'own time', '', 'others wait'], rows));
    fill(this.element, head, all, h.p({ class: 'note' }, `${OWN} ${noteOf(slowest)}`));
  }
}

function noteOf(slowest: RankSpeedPoint | null): string {
  return slowest === null
    ? 'No rank is slow: none costs the others more than 2 % of the time.'
    : `Rank ${slowest.rank} is slow: were it as fast as the next, steps would take ${formatShare(slowest.lostShare)} less.`;
}
