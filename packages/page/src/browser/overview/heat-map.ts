import type { ExpertsReply } from '../../api-types.js';
import { h } from '../dom.js';
import { formatCount, formatShare } from '../format.js';
import { pageState, setState } from '../location.js';
import { onTheme } from '../theme.js';
import { roundNumbers } from '../ticks.js';
import type { Bus } from './bus.js';
import type { ChartRow } from './chart-row.js';
import { bucketOf, numBucketsOf, overFair, stepsOf } from './expert-load.js';
import { ExpertTable } from './expert-table.js';
import { loadColor } from './load-color.js';
import { RowChart, type RowPlace, verticalLine } from './row-chart.js';

const TOP = 4;
const LAYER_ROW = 20;
/** Height of an expert's row, by the number of experts. */
const EXPERT_ROWS: readonly (readonly [upTo: number, height: number])[] = [
  [16, 13],
  [64, 9],
  [Number.POSITIVE_INFINITY, 5],
];
const LABEL_HEIGHT = 13;

interface LoadRow extends ChartRow {
  readonly layer: number;
  /** Null for the most loaded expert of the layer. */
  readonly expert: number | null;
}

/** Load of the experts over time: a row for each layer, which opens to its experts, and a table of one moment. */
export class HeatMap {
  readonly element: HTMLElement;
  readonly #of = h('small');
  readonly #table = new ExpertTable();
  readonly #slider = h('input', { type: 'range', min: '0', max: '0', value: '0', 'aria-label': 'moment' });
  readonly #at = h('output', {});
  readonly #chart: RowChart;
  #data: ExpertsReply | null = null;
  #range: readonly [number, number] | null = null;
  #rows: readonly LoadRow[] = [];
  /** False while the slider follows the newest bucket. */
  #isPinned = false;

  constructor(readonly bus: Bus) {
    this.#chart = new RowChart({
      label: 'Expert load',
      top: TOP,
      action: 'shows that moment in the table',
      paint: (place) => this.#paint(place),
      describe: (row, step) => this.#describe(row, step),
      onCursor: (step) => bus.setCursor(step),
      onPick: (_, step) => this.#pin(step),
      onToggle: (key) => this.#toggle(key),
    });
    this.element = h(
      'section',
      { class: 'card heat', 'aria-label': 'Expert load' },
      h('header', {}, h('h2', {}, 'Expert load ', this.#of), scale()),
      h('div', { class: 'heat-body' }, this.#chart.element, this.#table.element),
      h('label', { class: 'heat-slider' }, h('span', {}, 'Moment'), this.#slider, this.#at),
    );
    this.#slider.addEventListener('input', () => {
      this.#isPinned = Number(this.#slider.value) < Number(this.#slider.max);
      this.#draw();
    });
    bus.onCursor((step) => this.#chart.setCursor(step));
    onTheme(() => this.#draw());
  }

  /** @param of said beside the title: which of several runs this is */
  set(data: ExpertsReply | null, range: readonly [number, number] | null, of: string): void {
    this.#data = data;
    this.#range = range;
    this.#of.textContent = `share of kept tokens, over a fair share${of && `; ${of}`}`;
    const numBuckets = data === null ? 0 : numBucketsOf(data);
    this.element.hidden = numBuckets === 0;
    this.#slider.max = String(Math.max(0, numBuckets - 1));
    if (!this.#isPinned) this.#slider.value = this.#slider.max;
    this.#draw();
  }

  #draw(): void {
    const data = this.#data;
    if (data === null || numBucketsOf(data) === 0) return;
    const [first, last] = this.#range ?? [data.firstStep ?? 0, data.lastStep + 1];
    const bucket = Number(this.#slider.value);
    const steps = nameOf(stepsOf(data, bucket));
    this.#at.textContent = steps;
    this.#slider.setAttribute('aria-valuetext', steps);
    this.#rows = rowsOf(data, bucket);
    this.#chart.set(this.#rows, {
      name: 'step',
      range: [first, last],
      ticks: (maxTicks) => roundNumbers(first, last, maxTicks).filter(Number.isInteger),
      tick: String,
      next: (step, by) => middleOf(stepsOf(data, bucketOf(data, step) + by)),
    });
    this.#table.set(data, bucket);
  }

  #paint({ context, width, bottom, tops, x, clip }: RowPlace): void {
    const data = this.#data;
    if (data === null) return;
    const inView = Array.from({ length: numBucketsOf(data) }, (_, bucket) => bucket)
      .map((bucket) => [bucket, ...stepsOf(data, bucket)] as const)
      .map(([bucket, from, to]) => [bucket, x(from), x(to + 1)] as const)
      .filter(([, left, right]) => right >= 0 && left <= width);
    for (const [bucket, from, to] of inView) {
      const [left, right] = [clip(from), clip(to)];
      const loads = new Map(
        data.openLayers.map((layer, index) => [layer, overFair(data.kept[index]?.[bucket])] as const),
      );
      for (const [index, { layer, expert, height }] of this.#rows.entries()) {
        const load =
          expert === null ? data.most[data.layers.indexOf(layer)][bucket] : (loads.get(layer)?.[expert] ?? 0);
        context.fillStyle = loadColor(load);
        const inset = expert === null ? 3 : 0;
        context.fillRect(left, tops[index] + inset, Math.max(1, right - left + 0.5), height - 2 * inset);
      }
    }
    const moment = x(middleOf(stepsOf(data, Number(this.#slider.value))));
    if (moment === clip(moment)) verticalLine(context, moment, TOP, bottom, '--text');
  }

  #describe(row: ChartRow, step: number): readonly string[] {
    const [data, at] = [this.#data, this.#rows.find(({ key }) => key === row.key)];
    if (data === null || at === undefined) return [];
    const { layer, expert } = at;
    const bucket = bucketOf(data, step);
    const place = `layer ${layer}${expert === null ? '' : `, expert ${expert}`}, ${nameOf(stepsOf(data, bucket))}`;
    if (expert === null) {
      const most = data.most[data.layers.indexOf(layer)][bucket];
      return [place, `most loaded expert: ${most.toFixed(2)}x a fair share`];
    }
    const kept = data.kept[data.openLayers.indexOf(layer)]?.[bucket] ?? [];
    const load = overFair(kept)[expert] ?? 0;
    return [
      place,
      `${load.toFixed(2)}x a fair share`,
      `${formatShare(load / data.numExperts)} of the tokens: ${formatCount(kept[expert])}`,
    ];
  }

  #pin(step: number): void {
    if (this.#data === null) return;
    this.#slider.value = String(bucketOf(this.#data, step));
    this.#isPinned = true;
    this.#draw();
  }

  #toggle(key: string): void {
    const open = pageState().openLayers ?? this.#data?.openLayers.map(String) ?? [];
    setState({ openLayers: open.includes(key) ? open.filter((each) => each !== key) : [...open, key] });
  }
}

/** A row for each layer, with its most loaded expert at a moment, and one for each expert of open layers. */
function rowsOf(data: ExpertsReply, bucket: number): LoadRow[] {
  const { layers, openLayers, numExperts, most } = data;
  const height = EXPERT_ROWS.find(([upTo]) => numExperts <= upTo)?.[1] ?? LABEL_HEIGHT;
  const every = 2 ** Math.ceil(Math.log2(LABEL_HEIGHT / height));
  return layers.flatMap((layer, index): LoadRow[] => {
    const isOpen = openLayers.includes(layer);
    const note = `most ${most[index][bucket]?.toFixed(2)}x`;
    const row = {
      key: String(layer),
      layer,
      expert: null,
      label: `layer ${layer}`,
      height: LAYER_ROW,
      isOpen,
      note,
    };
    const experts = Array.from({ length: isOpen ? numExperts : 0 }, (_, expert) => ({
      ...{ key: `${layer}.${expert}`, layer, expert, height },
      label: expert % every === 0 ? `expert ${expert}` : '',
    }));
    return [row, ...experts];
  });
}

function middleOf([from, to]: readonly [number, number]): number {
  return (from + to + 1) / 2;
}

function nameOf([from, to]: readonly [number, number]): string {
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
