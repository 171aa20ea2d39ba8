import { fill, h, scrollable } from '../dom.js';
import { DASH } from '../format.js';
import type { RunData } from '../overview/run-data.js';
import { seriesColor } from '../theme.js';
import { type ComparedSetting, compareSettings } from './config-values.js';

/** The whole configuration of the runs shown, searchable, by section; of several runs what differs is marked. */
export class ConfigCard {
  readonly element: HTMLElement;
  readonly #search = h('input', {
    type: 'search',
    placeholder: 'search settings',
    'aria-label': 'search settings',
  });
  readonly #onlyDiffering = h('input', { type: 'checkbox' });
  readonly #differing = h('label', { class: 'check' }, this.#onlyDiffering, 'only what differs');
  readonly #count = h('small', { role: 'status' });
  readonly #sections = h('div', { class: 'config-sections' });
  #runs: readonly RunData[] = [];
  #shown = '';
  readonly #closed = new Set<string>();

  constructor() {
    this.element = h(
      'section',
      { class: 'card full config', 'aria-label': 'Configuration' },
      h('header', {}, h('h2', {}, 'Configuration'), this.#search, this.#differing, this.#count),
      this.#sections,
    );
    this.#search.addEventListener('input', () => this.#show());
    this.#onlyDiffering.addEventListener('change', () => this.#show());
  }

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
    // Unchanged rows are kept: one may be selected, or a section closed.
    const shown = JSON.stringify([runs.map(({ runId }) => runId), settings, words.length > 0]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const numDiffering = compared.filter(({ differs }) => differs).length;
    fill(
      this.#count,
      `${settings.length} of ${compared.length} settings${isComparing ? `, ${numDiffering} differ` : ''}`,
    );
    const sectionOf = ({ path }: ComparedSetting) => (path.includes('.') ? path.split('.')[0]! : 'run');
    const names = [...new Set(settings.map(sectionOf))];
    this.#sections.classList.toggle('is-compared', isComparing);
    fill(
      this.#sections,
      ...names.map((name) =>
        this.#section(
          name,
          settings.filter((each) => sectionOf(each) === name),
          words.length > 0,
        ),
      ),
      settings.length === 0 && h('p', { class: 'empty' }, 'No such setting.'),
    );
  }

  #section(name: string, settings: readonly ComparedSetting[], isSearch: boolean): HTMLElement {
    const details = h(
      'details',
      { open: isSearch || !this.#closed.has(name) },
      h('summary', {}, name, h('small', {}, String(settings.length))),
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

/** A row for each setting, and a column for each run. */
export function settingsTable(runs: readonly RunData[], settings: readonly ComparedSetting[]): HTMLElement {
  const isComparing = runs.length > 1;
  const head = h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'setting'), ...runs.map(runHead)));
  const rows = settings.map(({ path, values, differs }) =>
    h(
      'tr',
      { class: isComparing && differs ? 'differs' : '' },
      h('th', { scope: 'row' }, path),
      ...values.map((value) => h('td', {}, value ?? DASH)),
    ),
  );
  return h('table', { class: 'settings' }, isComparing && head, h('tbody', {}, ...rows));
}

function runHead({ runId }: RunData, index: number): HTMLElement {
  const swatch = h('i', { class: 'block' });
  swatch.style.setProperty('--color', seriesColor(index));
  return h('th', { scope: 'col' }, swatch, runId);
}
