import type { RankSpeedPoint } from '../../api-types.js';
import { fill, h, scrollable } from '../dom.js';
import { formatShare } from '../format.js';

/** A rank that costs less than this share of the time is not called slow. */
const SLOW_SHARE = 0.02;

const OWN =
  'Own time leaves out the waiting for other ranks, and for a processor that other processes of the machine had.';

/** How long each rank takes for its own part of a step, and which one the others wait for. */
export class RankTimes {
  readonly element = h('section', { class: 'card rank-times', 'aria-label': 'Time by rank' });

  set(speeds: readonly RankSpeedPoint[]): void {
    const most = Math.max(...speeds.map(({ ownMs }) => ownMs), 1e-9);
    const slowest = speeds.reduce<RankSpeedPoint | null>(
      (worst, each) => (each.lostShare > (worst?.lostShare ?? SLOW_SHARE) ? each : worst),
      null,
    );
    const rows = speeds.map(({ rank, ownMs, lostShare }) => {
      const bar = h('i', { class: 'time-bar' });
      bar.style.setProperty('--share', String(ownMs / most));
      return h(
        'tr',
        { class: rank === slowest?.rank ? 'is-slow' : '' },
        h('th', { scope: 'row' }, `rank ${rank}`),
        h('td', { class: 'number' }, `${ownMs.toFixed(ownMs < 10 ? 1 : 0)} ms`),
        h('td', { class: 'bar-cell' }, bar),
        h('td', { class: 'number' }, formatShare(lostShare)),
      );
    });
    const names = ['', 'own time', '', 'others wait'];
    fill(
      this.element,
      h('header', {}, h('h2', {}, 'Time by rank ', h('small', {}, 'median of the last 200 steps'))),
      speeds.length === 0
        ? h('p', { class: 'empty' }, 'Not recorded.')
        : scrollable(
            'table of ranks',
            h(
              'table',
              {},
              h('thead', {}, h('tr', {}, ...names.map((name) => h('th', { scope: 'col' }, name)))),
              h('tbody', {}, ...rows),
            ),
          ),
      speeds.length > 0 && h('p', { class: 'note' }, noteOf(slowest)),
    );
  }
}

function noteOf(slowest: RankSpeedPoint | null): string {
  return slowest === null
    ? `${OWN} No rank is slow: none costs the others more than 2 % of the time.`
    : `${OWN} Rank ${slowest.rank} is slow: were it as fast as the next, steps would take ${formatShare(slowest.lostShare)} less.`;
}
