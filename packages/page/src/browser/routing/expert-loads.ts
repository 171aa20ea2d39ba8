import type { StepRoutes } from '../../api-types.js';
import { button, fill, h, heading, picker } from '../dom.js';
import { formatCount, formatShare } from '../format.js';
import { pageState, setState } from '../location.js';
import { formatLoad, overFair } from '../overview/expert-load.js';
import { loadColor, ratioOfDropped, textOnLoad } from '../overview/load-color.js';
import type { PageState } from '../page-state.js';

/** Maximum number of cells; if there are more, only the experts of one layer are shown. */
const MOST_CELLS = 1_024;

/** Load of all experts in the recorded step; each expert is a button that shows its tokens. */
export class ExpertLoads {
  readonly #rows = h.div({ class: 'loads' });
  readonly #note = h.small();
  readonly #picker = picker(
    'what the load of experts shows',
    { demand: 'demand', kept: 'kept', dropped: 'dropped' },
    (load) => setState({ load }),
  );
  readonly element = h.section(
    { class: 'card expert-loads', 'aria-label': 'Experts' },
    heading('Experts', this.#note, this.#picker),
    this.#rows,
  );

  constructor() {
    this.#rows.addEventListener('keydown', (event) => this.#onKey(event));
  }

  set(routes: StepRoutes): void {
    const { load, layer, expert } = pageState();
    this.#picker.value = load;
    const isLarge = routes.layers.length * routes.numExperts > MOST_CELLS;
    const chosen = routes.layers.filter((each) => String(each) === layer);
    const layers = chosen.length > 0 ? chosen : isLarge ? routes.layers.slice(0, 1) : routes.layers;
    this.#note.textContent =
      MEANINGS[load] + (isLarge && chosen.length === 0 ? '; choose a layer above to see another' : '');
    const rows = layers.map((each) => this.#row(routes, each, load));
    fill(this.#rows, ...rows);
    const cells = [...this.#rows.querySelectorAll('button')];
    const current = cells.find(({ dataset }) => dataset.cell === expert) ?? cells[0];
    if (current) current.tabIndex = 0;
  }

  #row(routes: StepRoutes, layer: number, load: PageState['load']): HTMLElement {
    const at = routes.layers.indexOf(layer);
    const [routed, kept] = [routes.routed[at]!, routes.kept[at]!];
    const shares = overFair(load === 'demand' ? routed : kept);
    const cells = routed.map((count, expert) => {
      const dropped = count === 0 ? 0 : 1 - kept[expert]! / count;
      const value = load === 'dropped' ? dropped : shares[expert]!;
      const ratio = load === 'dropped' ? ratioOfDropped(value) : value;
      const name = `${layer}.${expert}`;
      return button(formatLoad(load, value), () => setState({ expert: name, recorded: routes.step }), {
        label: `layer ${layer}, expert ${expert}: ${formatLoad(load, value)}, ${formatCount(count)} choices, ${formatCount(kept[expert])} kept, ${formatShare(dropped)} dropped`,
        class: 'load-cell',
        tabindex: '-1',
        'data-cell': name,
        'aria-pressed': String(pageState().expert === name),
        disabled: count === 0,
        style: { 'background-color': loadColor(ratio), color: textOnLoad(ratio) },
      });
    });
    const named = cells.map((cell, expert) => h.div(h.small(String(expert)), cell));
    return h.div(
      { class: 'load-row' },
      h.span({ class: 'load-layer' }, `layer ${layer}`),
      h.div({ class: 'load-cells', role: 'toolbar', 'aria-label': `experts of layer ${layer}` }, ...named),
    );
  }

  /** Handles keys: arrow keys move from cell to cell; all cells are one stop of the Tab key. */
  #onKey(event: KeyboardEvent): void {
    const cells = [...this.#rows.querySelectorAll<HTMLButtonElement>('button:not(:disabled)')];
    const at = cells.indexOf(document.activeElement as HTMLButtonElement);
    const to = {
      ArrowRight: at + 1,
      ArrowLeft: at - 1,
      ArrowDown: this.#across(cells, at, 1),
      ArrowUp: this.#across(cells, at, -1),
    }[event.key];
    const next = to === undefined ? undefined : cells[to];
    if (at < 0 || next === undefined) return;
    event.preventDefault();
    for (const cell of cells) cell.tabIndex = cell === next ? 0 : -1;
    next.focus();
  }

  /** Returns the index of the cell of the same expert in the layer before or after. */
  #across(cells: readonly HTMLElement[], at: number, by: number): number {
    const [layer, expert] = cells[at]?.dataset.cell?.split('.') ?? [];
    const layers = [...new Set(cells.map(({ dataset }) => dataset.cell?.split('.')[0]))];
    const next = layers[layers.indexOf(layer) + by];
    return cells.findIndex(({ dataset }) => dataset.cell === `${next}.${expert}`);
  }
}

const MEANINGS: Readonly<Record<PageState['load'], string>> = {
  demand: 'choices of the step that fell on each, over a fair share',
  kept: 'choices that each kept, over a fair share',
  dropped: 'share of its choices that each dropped',
};
