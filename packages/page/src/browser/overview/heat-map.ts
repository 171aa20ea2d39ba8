import type { ExpertsReply } from '../../api-types.js';
import { fill, h, paintable } from '../dom.js';
import { formatCount, formatShare } from '../format.js';
import { cssColor, onTheme } from '../theme.js';
import type { Bus } from './bus.js';
import { loadColor } from './load-color.js';

const GUTTER = 46;
const LAYER_GAP = 4;
const MAX_NUMBERED = 16;

/** Load of every expert over time, and a table of layers by experts at the moment of a slider. */
export class HeatMap {
  readonly element: HTMLElement;
  readonly #overTime = h('canvas', {
    class: 'heat-time',
    role: 'img',
    'aria-label': 'load of each expert over time',
  });
  readonly #moment = h('div', { class: 'heat-moment' });
  readonly #slider = h('input', { type: 'range', min: '0', max: '0', value: '0', 'aria-label': 'moment' });
  readonly #at = h('output', {});
  readonly #hint = h('p', { class: 'empty' });
  #data: ExpertsReply | null = null;
  #range: readonly [number, number] | null = null;
  /** False while the slider follows the newest bucket. */
  #isPinned = false;
  #cursor: number | null = null;

  constructor(readonly bus: Bus) {
    this.element = h(
      'section',
      { class: 'card heat', 'aria-label': 'Expert load' },
      h(
        'header',
        {},
        h('h2', {}, 'Expert load', h('small', {}, ' share of kept tokens, over a fair share')),
        scale(),
      ),
      h('div', { class: 'heat-body' }, this.#overTime, this.#moment),
      h('label', { class: 'heat-slider' }, h('span', {}, 'Moment'), this.#slider, this.#at),
      this.#hint,
    );
    this.#slider.addEventListener('input', () => {
      this.#isPinned = Number(this.#slider.value) < Number(this.#slider.max);
      this.#draw();
    });
    this.#overTime.addEventListener('mousemove', (event) => this.#onMove(event));
    this.#overTime.addEventListener('mouseleave', () => bus.setCursor(null));
    this.#overTime.addEventListener('click', (event) => this.#onClick(event));
    bus.onCursor((step) => {
      this.#cursor = step;
      this.#drawOverTime();
    });
    new ResizeObserver(() => this.#drawOverTime()).observe(this.#overTime);
    onTheme(() => this.#draw());
  }

  set(data: ExpertsReply | null, range: readonly [number, number] | null): void {
    this.#data = data;
    this.#range = range;
    const numBuckets = Math.max(0, (data?.edges.length ?? 0) - 1);
    this.element.hidden = numBuckets === 0;
    this.#slider.max = String(Math.max(0, numBuckets - 1));
    if (!this.#isPinned) this.#slider.value = this.#slider.max;
    if (data !== null) {
      const rows = data.layers.length * data.numExperts;
      this.#overTime.style.height = `${Math.min(420, Math.max(96, rows * 9 + LAYER_GAP * data.layers.length))}px`;
    }
    this.#draw();
  }

  get #view(): readonly [number, number] {
    const edges = this.#data?.edges ?? [0, 1];
    return this.#range ?? [edges[0], edges.at(-1) ?? 1];
  }

  #draw(): void {
    this.#drawOverTime();
    this.#drawMoment();
  }

  #drawOverTime(): void {
    const [paint, data] = [paintable(this.#overTime), this.#data];
    if (paint === null || data === null || data.edges.length === 0) return;
    const { context, width, height } = paint;
    const [first, last] = this.#view;
    const x = (step: number) => GUTTER + ((step - first) / (last - first)) * (width - GUTTER);
    const layerHeight = height / data.layers.length;
    const rowHeight = (layerHeight - LAYER_GAP) / data.numExperts;
    context.font = `11px ${cssColor('--font')}`;
    context.textBaseline = 'middle';
    for (const [index, layer] of data.layers.entries()) {
      const top = index * layerHeight;
      context.fillStyle = cssColor('--text-dim');
      context.fillText(`layer ${layer}`, 0, top + (layerHeight - LAYER_GAP) / 2);
      for (const [bucket, kept] of data.kept[index].entries()) {
        const [from, to] = [x(data.edges[bucket]), x(data.edges[bucket + 1])];
        if (to < GUTTER || from > width) continue;
        const left = Math.max(GUTTER, from);
        for (const [expert, ratio] of ratios(kept).entries()) {
          context.fillStyle = loadColor(ratio);
          context.fillRect(
            left,
            top + expert * rowHeight,
            Math.max(1, to - left + 0.5),
            Math.ceil(rowHeight),
          );
        }
      }
    }
    const bucket = Number(this.#slider.value);
    this.#line(context, x((data.edges[bucket] + data.edges[bucket + 1]) / 2), height, '--text', []);
    if (this.#cursor !== null) this.#line(context, x(this.#cursor), height, '--text-dim', [3, 3]);
  }

  #line(context: CanvasRenderingContext2D, x: number, height: number, color: string, dash: number[]): void {
    if (x < GUTTER) return;
    context.strokeStyle = cssColor(color);
    context.setLineDash(dash);
    context.beginPath();
    context.moveTo(Math.round(x) + 0.5, 0);
    context.lineTo(Math.round(x) + 0.5, height);
    context.stroke();
    context.setLineDash([]);
  }

  #drawMoment(): void {
    const data = this.#data;
    const bucket = Number(this.#slider.value);
    if (data === null || data.edges.length < 2) return;
    const steps = stepsOf(data, bucket);
    this.#at.textContent = steps;
    this.#slider.setAttribute('aria-valuetext', steps);
    const isNumbered = data.numExperts <= MAX_NUMBERED;
    const experts = Array.from({ length: data.numExperts }, (_, expert) => expert);
    const head = h(
      'tr',
      {},
      h('th', {}),
      ...experts.map((e) => h('th', { scope: 'col' }, isNumbered ? `e${e}` : '')),
    );
    const rows = data.layers.map((layer, index) => {
      const cells = ratios(data.kept[index][bucket]).map((ratio, expert) => {
        const share = ratio / data.numExperts;
        const title = `layer ${layer}, expert ${expert}: ${formatShare(share)} of the tokens, ${ratio.toFixed(2)} x fair`;
        const cell = h('td', { title }, isNumbered ? ratio.toFixed(1) : '');
        cell.style.backgroundColor = loadColor(ratio);
        cell.style.color =
          Math.abs(Math.log2(ratio || 0.01)) > 1 ? cssColor('--heat-text') : cssColor('--text');
        return cell;
      });
      return h('tr', {}, h('th', { scope: 'row' }, `layer ${layer}`), ...cells);
    });
    fill(this.#moment, h('table', {}, h('thead', {}, head), h('tbody', {}, ...rows)));
  }

  #stepAt(event: MouseEvent): number {
    const [first, last] = this.#view;
    const box = this.#overTime.getBoundingClientRect();
    return first + ((event.clientX - box.left - GUTTER) / (box.width - GUTTER)) * (last - first);
  }

  #onMove(event: MouseEvent): void {
    const data = this.#data;
    const step = this.#stepAt(event);
    const isOutside = data === null || step < this.#view[0];
    this.bus.setCursor(isOutside ? null : step);
    if (isOutside) return;
    const box = this.#overTime.getBoundingClientRect();
    const y = event.clientY - box.top;
    const index = Math.min(data.layers.length - 1, Math.floor(y / (box.height / data.layers.length)));
    const inLayer = y - index * (box.height / data.layers.length);
    const rowHeight = (box.height / data.layers.length - LAYER_GAP) / data.numExperts;
    const expert = Math.min(data.numExperts - 1, Math.floor(inLayer / rowHeight));
    const bucket = bucketOf(data, step);
    const kept = data.kept[index][bucket];
    if (kept === undefined) return;
    const ratio = ratios(kept)[expert];
    this.#overTime.title = `layer ${data.layers[index]}, expert ${expert}, ${stepsOf(data, bucket)}: ${formatShare(ratio / data.numExperts)} of the tokens (${formatCount(kept[expert])}), ${ratio.toFixed(2)} x fair`;
  }

  #onClick(event: MouseEvent): void {
    if (this.#data === null) return;
    this.#slider.value = String(bucketOf(this.#data, this.#stepAt(event)));
    this.#isPinned = true;
    this.#draw();
  }
}

/** Each expert's load relative to a fair share; all 0 if no token was kept. */
function ratios(kept: readonly number[] = []): number[] {
  const total = kept.reduce((sum, count) => sum + count, 0);
  return kept.map((count) => (total === 0 ? 0 : (count / total) * kept.length));
}

function bucketOf({ edges }: ExpertsReply, step: number): number {
  const after = edges.findIndex((edge) => edge > step);
  return after === -1 ? edges.length - 2 : Math.max(0, after - 1);
}

function stepsOf({ edges }: ExpertsReply, bucket: number): string {
  const [from, to] = [edges[bucket], edges[bucket + 1] - 1];
  return from === to ? `step ${from}` : `steps ${from} to ${to}`;
}

function scale(): HTMLElement {
  const steps = [0.25, 0.5, 1, 2, 4].map((ratio) => {
    const swatch = h('i', { class: 'block' });
    swatch.style.setProperty('--color', loadColor(ratio));
    onTheme(() => swatch.style.setProperty('--color', loadColor(ratio)));
    return h('span', { class: 'entry' }, swatch, `${ratio}x`);
  });
  return h('div', { class: 'legend' }, ...steps);
}
