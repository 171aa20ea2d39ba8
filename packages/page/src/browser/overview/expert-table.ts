import type { ExpertsReply } from '../../api-types.js';
import { fill, h } from '../dom.js';
import { formatShare } from '../format.js';
import { overFair } from './expert-load.js';
import { loadColor, textOnLoad } from './load-color.js';

/** The load of every shown expert in one bucket: a row for each expert, a column for each layer. */
export class ExpertTable {
  readonly element = h('div', {
    class: 'heat-moment',
    tabindex: '0',
    role: 'region',
    'aria-label': 'load by expert',
  });

  set({ openLayers, numExperts, kept }: ExpertsReply, bucket: number): void {
    this.element.hidden = openLayers.length === 0;
    const loads = openLayers.map((_, index) => overFair(kept[index]?.[bucket]));
    const head = ['expert', ...openLayers.map((layer) => `layer ${layer}`)];
    const rows = Array.from({ length: numExperts }, (_, expert) =>
      h(
        'tr',
        {},
        h('th', { scope: 'row' }, String(expert)),
        ...openLayers.map((layer, index) => cellOf(layer, expert, loads[index][expert] ?? 0, numExperts)),
      ),
    );
    fill(
      this.element,
      h(
        'table',
        {},
        h('thead', {}, h('tr', {}, ...head.map((text) => h('th', { scope: 'col' }, text)))),
        h('tbody', {}, ...rows),
      ),
    );
  }
}

function cellOf(layer: number, expert: number, load: number, numExperts: number): HTMLElement {
  const title = `layer ${layer}, expert ${expert}: ${formatShare(load / numExperts)} of the tokens`;
  const cell = h('td', { title }, `${load.toFixed(2)}x`);
  cell.style.backgroundColor = loadColor(load);
  cell.style.color = textOnLoad(load);
  return cell;
}
