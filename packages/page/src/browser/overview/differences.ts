import { settingsTable } from '../details/config-card.js';
import { h, heading, refill, scrollable } from '../dom.js';
import { compareSettings } from '../vendor/settings.js';
import type { RunData } from './run-data.js';

/** The settings in which the shown runs differ; hidden if there is only one run. */
export class Differences {
  readonly element = h.section({ class: 'card differences', 'aria-label': 'Differences' });

  set(runs: readonly RunData[]): void {
    this.element.hidden = runs.length < 2;
    const compared = compareSettings(runs.map(({ detail }) => detail?.config ?? null));
    const settings = runs.length < 2 ? [] : compared.filter(({ differs }) => differs);
    const count = settings.length === 0 ? 'the same configuration' : `of ${compared.length} settings`;
    const title = `${settings.length || 'No'} difference${settings.length === 1 ? '' : 's'}`;
    refill(this.element, [runs.map(({ runId }) => runId), settings], () => [
      heading(title, count),
      settings.length > 0 && scrollable('settings that differ', settingsTable(runs, settings)),
    ]);
  }
}
