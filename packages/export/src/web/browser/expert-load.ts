import { h, percent } from './dom.js';
import { groupsOf } from './expert-color.js';
import type { ModelConfig, RoutedToken } from './messages.js';

/** An expert of a sparse layer; `layer` is its index among the sparse layers. */
export interface ChosenExpert {
  readonly layer: number;
  readonly expert: number;
}

/** Called with null when no expert is chosen any more. */
type OnExpert = (chosen: ChosenExpert | null) => void;

interface Strip {
  readonly note: HTMLElement;
  readonly groups: readonly { readonly element: HTMLElement; readonly experts: readonly number[] }[];
  readonly buttons: HTMLButtonElement[];
  readonly taken: number[];
  routed: number;
  passed: number;
}

/**
 * A strip of all experts for each sparse layer, in which the width of an expert is its share of the taken
 * tokens. Each expert is a button that selects it.
 */
export class ExpertLoad {
  readonly element = h('div', { class: 'load' });
  readonly #strips: readonly Strip[];

  constructor(config: ModelConfig, styleOf: (expert: number) => string, onExpert: OnExpert) {
    this.#strips = config.sparseLayers.map((index, layer) => {
      const buttons: HTMLButtonElement[] = [];
      const groups = groupsOf(config).map(({ experts }) => {
        const own = experts.map((expert) => this.#button(layer, expert, styleOf(expert), onExpert));
        for (const [i, expert] of experts.entries()) buttons[expert] = own[i]!;
        return { experts, element: h('div', { class: 'group', style: `--size: ${experts.length}` }, ...own) };
      });
      const note = h('small');
      const strip = h('div', { class: 'strip' }, ...groups.map(({ element }) => element));
      this.element.append(h('section', {}, h('h3', {}, `layer ${index}`, note), strip));
      return { note, groups, buttons, taken: buttons.map(() => 0), routed: 0, passed: 0 };
    });
    for (const strip of this.#strips) draw(strip);
  }

  add(tokens: readonly RoutedToken[]): void {
    for (const { layers } of tokens)
      layers.forEach(({ weights }, i) => {
        const strip = this.#strips[i]!;
        const takers = weights.flatMap((weight, expert) => (weight > 0 ? [expert] : []));
        for (const expert of takers) strip.taken[expert]!++;
        strip.routed++;
        if (takers.length === 0) strip.passed++;
      });
    for (const strip of this.#strips) draw(strip);
  }

  #button(layer: number, expert: number, style: string, onExpert: OnExpert): HTMLButtonElement {
    const button = h('button', { type: 'button', style, 'aria-pressed': 'false' }, String(expert));
    button.addEventListener('click', () => {
      const isOn = button.getAttribute('aria-pressed') === 'false';
      for (const { buttons } of this.#strips)
        for (const other of buttons) other?.setAttribute('aria-pressed', String(isOn && other === button));
      onExpert(isOn ? { layer, expert } : null);
    });
    return button;
  }
}

const MIN_SHARE = 0.035;

function draw({ note, groups, buttons, taken, routed, passed }: Strip): void {
  const sum = taken.reduce((a, b) => a + b, 0);
  note.textContent = passed > 0 ? `${percent(passed / routed)} of the tokens pass by` : '';
  for (const { element, experts } of groups) {
    const own = experts.reduce((total, expert) => total + taken[expert]!, 0);
    element.style.flexGrow = String(sum > 0 ? own : 1);
  }
  buttons.forEach((button, expert) => {
    const count = taken[expert]!;
    button.style.flexGrow = String(sum > 0 ? count : 1);
    // A number does not fit into a narrower strip.
    button.textContent = sum === 0 || count / sum > MIN_SHARE ? String(expert) : '';
    const label = `expert ${expert}: ${count} tokens${sum > 0 ? `, ${percent(count / sum)}` : ''}`;
    button.title = label;
    button.setAttribute('aria-label', label);
  });
}
