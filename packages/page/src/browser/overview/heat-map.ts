import type { ExpertsReply } from '../../api-types.js';
import { fill, h } from '../dom.js';
import { pageState, setState } from '../location.js';
import { LOADS, type PageState } from '../page-state.js';
import { onTheme } from '../theme.js';
import type { Bus } from './bus.js';
import type { ChartRow } from './chart-row.js';
import {
  bucketOf,
  describeExpert,
  formatLoad,
  numBucketsOf,
  stepsOf,
  valueOfLayer,
  valuesOf,
} from './expert-load.js';
import { ExpertTable } from './expert-table.js';
import { loadColor, ratioOfDropped } from './load-color.js';
import { RowChart, type RowPlace, verticalLine } from './row-chart.js';
import type { RunData } from './run-data.js';
import { ticksOf, X_AXES } from './x-axis.js';

const TOP = 4;
const LAYER_ROW = 20;
/** Height of an expert's row, by the number of experts. */
const EXPERT_ROWS: readonly (readonly [upTo: number, height: number])[] = [
  [16, 13],
  [64, 9],
  [Number.POSITIVE_INFINITY, 5],
];
const LABEL_HEIGHT = 13;
const MEANINGS: Readonly<Record<PageState['load'], string>> = {
  demand: 'tokens that the router wants there, over a fair share',
  kept: 'tokens that were kept, over a fair share',
  dropped: 'share of the wanted tokens that were dropped',
};

interface LoadRow extends ChartRow {
  readonly layer: number;
  /** Null for the most loaded expert of the layer. */
  readonly expert: number | null;
}

/** Load of the experts over time: a row for each layer, which opens to its experts, and a table of one moment. */
export class HeatMap {
  readonly element: HTMLElement;
  readonly #of = h('small');
  readonly #loadPicker = h(
    'select',
    { 'aria-label': 'what expert load shows' },
    ...LOADS.map((value) => h('option', { value }, value)),
  );
  readonly #scale = h('div', { class: 'legend' });
  readonly #table = new ExpertTable();
  readonly #slider = h('input', { type: 'range', min: '0', max: '0', value: '0', 'aria-label': 'moment' });
  readonly #at = h('output', {});
  readonly #chart: RowChart;
  #run: RunData | null = null;
  #axis: PageState['axis'] = 'step';
  #load: PageState['load'] = 'demand';
  #range: readonly [number, number] | null = null;
  #rows: readonly LoadRow[] = [];
  /** False while the slider follows the newest bucket. */
  #isPinned = false;

  constructor(bus: Bus) {
    this.#chart = new RowChart({
      label: 'Expert load',
      top: TOP,
      action: 'shows that moment in the table',
      paint: (place) => this.#paint(place),
      describe: (row, x) => this.#describe(row, this.#stepOf(x)),
      onCursor: (x) => bus.setCursor(x === null ? null : this.#stepOf(x)),
      onPick: (_, x) => this.#pin(this.#stepOf(x)),
      onToggle: (key) => this.#toggle(key),
    });
    this.element = h(
      'section',
      { class: 'card heat', 'aria-label': 'Expert load' },
      h('header', {}, h('h2', {}, 'Expert load ', this.#of), this.#loadPicker, this.#scale),
      h('div', { class: 'heat-body' }, this.#chart.element, this.#table.element),
      h('label', { class: 'heat-slider' }, h('span', {}, 'Moment'), this.#slider, this.#at),
    );
    this.#slider.addEventListener('input', () => {
      this.#isPinned = Number(this.#slider.value) < Number(this.#slider.max);
      this.#draw();
    });
    this.#loadPicker.addEventListener('change', () =>
      setState({ load: LOADS.find((each) => each === this.#loadPicker.value) ?? 'demand' }),
    );
    bus.onCursor((step) => this.#chart.setCursor(step === null ? null : this.#xOf(step)));
    onTheme(() => this.#draw());
  }

  get #data(): ExpertsReply | null {
    return this.#run?.experts ?? null;
  }

  #xOf(step: number): number {
    return this.#run?.xOfStep(this.#axis, step) ?? step;
  }

  #stepOf(x: number): number {
    return this.#run?.stepOfX(this.#axis, x) ?? x;
  }

  /** @param of said beside the title: which of several runs this is */
  set(
    run: RunData,
    { range, axis, load, of }: Pick<PageState, 'range' | 'axis' | 'load'> & { readonly of: string },
  ): void {
    this.#run = run;
    this.#range = range;
    this.#axis = axis;
    this.#load = load;
    this.#loadPicker.value = load;
    this.#of.textContent = `${MEANINGS[load]}${of && `; ${of}`}`;
    const data = this.#data;
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
    this.#rows = rowsOf(data, this.#load, bucket);
    const axis = X_AXES[this.#axis];
    const range = [this.#xOf(first), this.#xOf(last)] as const;
    this.#chart.set(this.#rows, {
      name: axis.name,
      range,
      ticks: (maxTicks) => ticksOf(axis, range, maxTicks),
      tick: axis.tick,
      next: (x, by) => this.#xOf(middleOf(stepsOf(data, bucketOf(data, this.#stepOf(x)) + by))),
    });
    fill(this.#scale, ...scaleOf(this.#load));
    this.#table.set(data, this.#load, bucket);
  }

  #paint({ context, width, bottom, tops, x, clip }: RowPlace): void {
    const data = this.#data;
    if (data === null) return;
    const inView = Array.from({ length: numBucketsOf(data) }, (_, bucket) => bucket)
      .map((bucket) => [bucket, ...stepsOf(data, bucket)] as const)
      .map(([bucket, from, to]) => [bucket, x(this.#xOf(from)), x(this.#xOf(to + 1))] as const)
      .filter(([, left, right]) => right >= 0 && left <= width);
    for (const [bucket, from, to] of inView) {
      const [left, right] = [clip(from), clip(to)];
      const values = new Map(
        data.openLayers.map((layer) => [layer, valuesOf(data, this.#load, layer, bucket)] as const),
      );
      for (const [index, { layer, expert, height }] of this.#rows.entries()) {
        const value =
          expert === null
            ? valueOfLayer(data, this.#load, layer, bucket)
            : (values.get(layer)?.[expert] ?? 0);
        context.fillStyle = loadColor(this.#load === 'dropped' ? ratioOfDropped(value) : value);
        const inset = expert === null ? 3 : 0;
        context.fillRect(left, tops[index]! + inset, Math.max(1, right - left + 0.5), height - 2 * inset);
      }
    }
    const moment = x(this.#xOf(middleOf(stepsOf(data, Number(this.#slider.value)))));
    if (moment === clip(moment)) verticalLine(context, moment, TOP, bottom, '--text');
  }

  #describe(row: ChartRow, step: number): readonly string[] {
    const [data, at] = [this.#data, this.#rows.find(({ key }) => key === row.key)];
    if (data === null || at === undefined) return [];
    const { layer, expert } = at;
    const bucket = bucketOf(data, step);
    const place = `layer ${layer}${expert === null ? '' : `, expert ${expert}`}, ${nameOf(stepsOf(data, bucket))}`;
    if (expert !== null) return [place, ...describeExpert(data, { layer, expert, bucket })];
    const told = (load: PageState['load']) => formatLoad(load, valueOfLayer(data, load, layer, bucket));
    return [
      place,
      `demand of the expert with most: ${told('demand')} a fair share`,
      `kept by the one with most: ${told('kept')}`,
      `dropped by all: ${told('dropped')}`,
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
function rowsOf(data: ExpertsReply, load: PageState['load'], bucket: number): LoadRow[] {
  const { layers, openLayers, numExperts } = data;
  const height = EXPERT_ROWS.find(([upTo]) => numExperts <= upTo)?.[1] ?? LABEL_HEIGHT;
  const every = 2 ** Math.ceil(Math.log2(LABEL_HEIGHT / height));
  return layers.flatMap((layer): LoadRow[] => {
    const isOpen = openLayers.includes(layer);
    const told = (each: PageState['load']) => formatLoad(each, valueOfLayer(data, each, layer, bucket));
    const note = `${load === 'dropped' ? '' : `most ${told(load)}, `}drops ${told('dropped')}`;
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
      key: `${layer}.${expert}`,
      layer,
      expert,
      height,
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

function scaleOf(load: PageState['load']): HTMLElement[] {
  const steps =
    load === 'dropped'
      ? [0, 0.25, 0.5, 0.75, 1].map((share) => [ratioOfDropped(share), `${100 * share} %`] as const)
      : [0.25, 0.5, 1, 2, 4].map((ratio) => [ratio, `${ratio}x`] as const);
  return steps.map(([ratio, text]) => {
    const swatch = h('i', { class: 'block' });
    swatch.style.setProperty('--color', loadColor(ratio));
    return h('span', { class: 'entry' }, swatch, text);
  });
}
