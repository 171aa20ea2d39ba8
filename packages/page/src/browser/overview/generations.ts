import type { RunGeneration } from 'locmoe/run/run-generations';
import type { RunDetail } from '../../api-types.js';
import { fill, h } from '../dom.js';
import { DASH, formatClock, formatDurationMs } from '../format.js';

/** The generations of a run that was restarted: what each began with, how it ended, what its recovery cost. */
export class Generations {
  readonly element = h('section', { class: 'card generations', 'aria-label': 'Generations' });

  /** @param onFailure opens the log around a failure */
  constructor(readonly onFailure: (timeMs: number) => void) {}

  set(detail: RunDetail | null): void {
    const generations = detail?.generations ?? [];
    this.element.hidden = detail === null || generations.length < 2;
    if (detail === null || this.element.hidden) {
      fill(this.element);
      return;
    }
    const { restarts, restartsLeft, lostSteps, lostSeconds } = detail;
    const costs = [
      `${restarts} restart${restarts === 1 ? '' : 's'}`,
      restartsLeft !== null && `${restartsLeft} left`,
      `${formatDurationMs(1e3 * lostSeconds)} lost`,
      `${lostSteps} step${lostSteps === 1 ? '' : 's'} done again`,
    ];
    const names = ['', 'trains from', 'nodes', 'starts with', 'steps', 'recovered', 'ended'];
    fill(
      this.element,
      h('header', {}, h('h2', {}, 'Generations ', h('small', {}, costs.filter(Boolean).join(', ')))),
      h(
        'table',
        {},
        h('thead', {}, h('tr', {}, ...names.map((name) => h('th', {}, name)))),
        h('tbody', {}, ...generations.map((each, index) => this.#row(each, index, detail))),
      ),
    );
  }

  #row(each: RunGeneration, index: number, { step, generations }: RunDetail): HTMLElement {
    const { generation, trainedAtMs, nodes, workersPerNode, from, recovery, failure, end } = each;
    const last = index === generations.length - 1 ? step : each.lastStep;
    const steps = last === null || last <= from.step ? DASH : `${from.step + 1} to ${last}`;
    const account =
      recovery === null
        ? ''
        : `detected in ${recovery.detectedS.toFixed(1)} s, restarted in ${recovery.restartedS.toFixed(1)} s, ${recovery.lostSteps} steps (${recovery.lostS.toFixed(1)} s) done again`;
    const ended =
      failure === null
        ? end === 'open'
          ? ''
          : end
        : h(
            'button',
            { type: 'button', class: 'bare', on: { click: () => this.onFailure(failure.time) } },
            failure.message,
          );
    const cells = [
      String(generation),
      trainedAtMs === null ? DASH : formatClock(trainedAtMs),
      `${nodes} x ${workersPerNode}`,
      from.kind === 'nothing' ? 'nothing' : `${from.kind} of step ${from.step}`,
      ...[steps, account, ended],
    ];
    return h('tr', {}, ...cells.map((cell) => h('td', {}, cell)));
  }
}
