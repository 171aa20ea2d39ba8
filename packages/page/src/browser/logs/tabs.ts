import { h } from '../dom.js';

/** A row of tabs after ARIA's pattern: arrow keys move to the next tab, which opens at once. */
export class Tabs<Name extends string> {
  readonly element: HTMLElement;
  readonly #tabs: ReadonlyMap<Name, HTMLButtonElement>;

  /** @param panels what each tab shows: its text, and an element with an id */
  constructor(
    label: string,
    panels: Readonly<Record<Name, { readonly text: string; readonly panel: HTMLElement }>>,
    onChoose: (name: Name) => void,
  ) {
    const names = Object.keys(panels) as Name[];
    this.#tabs = new Map(
      names.map((name) => {
        const { text, panel } = panels[name];
        const id = `tab-${panel.id}`;
        panel.setAttribute('role', 'tabpanel');
        panel.setAttribute('aria-labelledby', id);
        const on = { click: () => onChoose(name) };
        return [name, h.button({ type: 'button', role: 'tab', id, 'aria-controls': panel.id, on }, text)];
      }),
    );
    this.element = h.div({ class: 'log-tabs', role: 'tablist', 'aria-label': label }, ...this.#tabs.values());
    this.element.addEventListener('keydown', ({ key, target }) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[key];
      const at = names.findIndex((name) => this.#tabs.get(name) === target);
      if (by === undefined || at === -1) return;
      const next = names[(at + by + names.length) % names.length]!;
      this.#tabs.get(next)?.focus();
      onChoose(next);
    });
  }

  show(chosen: Name): void {
    for (const [name, tab] of this.#tabs) {
      tab.setAttribute('aria-selected', String(name === chosen));
      tab.tabIndex = name === chosen ? 0 : -1;
    }
  }
}
