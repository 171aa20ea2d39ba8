import { fill, h, heading, refill, row, scrollable, swatch, table } from '../dom.js';
import { DASH } from '../format.js';
import type { RunData } from '../overview/run-data.js';
import { seriesColor } from '../theme.js';
import { type ComparedSetting, compareSettings } from '../vendor/settings.js';

/** The full, searchable configuration of the shown runs, by section; settings that differ are marked. */
export class ConfigCard {
  readonly #search = h.input({
    type: 'search',
    placeholder: 'search settings',
    'aria-label': 'search settings',
    on: { input: () => this.#show() },
  });
  readonly #onlyDiffering = h.input({ type: 'checkbox', on: { change: () => this.#show() } });
  readonly #differing = h.label({ class: 'check' }, this.#onlyDiffering, 'only what differs');
  readonly #count = h.small({ role: 'status' });
  readonly #sections = h.div({ class: 'config-sections' });
  readonly element = h.section(
    { class: 'card full config', 'aria-label': 'Configuration' },
    heading('Configuration', null, this.#search, this.#differing, this.#count),
    this.#sections,
  );
  #runs: readonly RunData[] = [];
  readonly #closed = new Set<string>();

  set(runs: readonly RunData[]): void {
    this.#runs = runs;
    this.#show();
  }

  #show(): void {
    const runs = this.#runs;
    const words = this.#search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const compared = compareSettings(runs.map(({ detail }) => detail?.config ?? null));
    const isComparing = runs.length > 1;
    this.#differing.hidden = !isComparing;
    const settings = compared.filter(
      ({ path, values, differs }) =>
        (differs || !isComparing || !this.#onlyDiffering.checked) &&
        words.every((word) => [path, ...values].some((text) => text?.toLowerCase().includes(word))),
    );
    const numDiffering = compared.filter(({ differs }) => differs).length;
    fill(
      this.#count,
      `${settings.length} of ${compared.length} settings${isComparing ? `, ${numDiffering} differ` : ''}`,
    );
    const sectionOf = ({ path }: ComparedSetting) => (path.includes('.') ? path.split('.')[0]! : 'run');
    const names = [...new Set(settings.map(sectionOf))];
    const inSection = (name: string) => settings.filter((each) => sectionOf(each) === name);
    this.#sections.classList.toggle('is-compared', isComparing);
    refill(this.#sections, [runs.map(({ runId }) => runId), settings, words.length > 0], () => [
      ...names.map((name) => this.#section(name, inSection(name), words.length > 0)),
      settings.length === 0 && h.p({ class: 'empty' }, 'No such setting.'),
    ]);
  }

  #section(name: string, settings: readonly ComparedSetting[], isSearch: boolean): HTMLElement {
    const details = h.details(
      { open: isSearch || !this.#closed.has(name) },
      h.summary(name, h.small(String(settings.length))),
      scrollable(`settings of ${name}`, settingsTable(this.#runs, settings)),
    );
    details.addEventListener('toggle', () => {
      if (isSearch) return;
      if (details.open) this.#closed.delete(name);
      else this.#closed.add(name);
    });
    return details;
  }
}

/** Returns a table with a row for each setting, and a column for each run. */
export function settingsTable(runs: readonly RunData[], settings: readonly ComparedSetting[]): HTMLElement {
  const isComparing = runs.length > 1;
  const heads = runs.map(({ runId }, index) => h.th({ scope: 'col' }, swatch(seriesColor(index)), runId));
  const rows = settings.map(({ path, values, differs }) =>
    row({ class: isComparing && differs ? 'differs' : '' }, path, ...values.map((value) => value ?? DASH)),
  );
  const made = isComparing ? table(['setting', ...heads], rows) : h.table(h.tbody(...rows));
  made.className = 'settings';
  return made;
}
