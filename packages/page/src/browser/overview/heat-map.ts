import type { ExpertsReply } from '../../api-types.js';
import { fill, h, heading, legendEntry, picker } from '../dom.js';
import { pageState, setState } from '../location.js';
import { type PageState, toggled } from '../page-state.js';
import { onTheme } from '../theme.js';
import type { Bus } from './bus.js';
import type { ChartRow } from './chart-row.js';
import * as expertLoad from './expert-load.js';
import { bucketOf, numBucketsOf, stepsOf } from './expert-load.js';
import { ExpertTable } from './expert-table.js';
import { Links } from './links.js';
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
  /** Expert of the row; null for the most loaded expert of the layer. */
  readonly expert: number | null;
}

/**
 * Load of the experts over time: a row for each layer, which opens to its experts, and a table of one moment.
 */
export class HeatMap {
  readonly element: HTMLElement;
  /** The card shows the bytes between ranks at the same moment. */
  readonly links = new Links();
  readonly #of = h.small();
  readonly #loadPicker = picker(
    'what expert load shows',
    { demand: 'demand', kept: 'kept', dropped: 'dropped' },
    (load) => setState({ load }),
  );
  readonly #scale = h.div({ class: 'legend' });
  readonly #table = new ExpertTable();
  readonly #slider = h.input({ type: 'range', min: '0', max: '0', value: '0', 'aria-label': 'moment' });
  readonly #at = h.output();
  readonly #chart: RowChart<LoadRow>;
  #run: RunData | null = null;
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
      onToggle: (key) => {
        const open = pageState().openLayers ?? this.#data?.openLayers.map(String) ?? [];
        setState({ openLayers: toggled(open, key) });
      },
    });
    this.element = h.section(
      { class: 'card heat', 'aria-label': 'Expert load' },
      heading('Expert load', this.#of, this.#loadPicker, this.#scale),
      h.div({ class: 'heat-body' }, this.#chart.element, this.#table.element),
      h.label({ class: 'heat-slider' }, h.span('Moment'), this.#slider, this.#at),
    );
    this.#slider.addEventListener('input', () => {
      this.#isPinned = Number(this.#slider.value) < Number(this.#slider.max);
      this.#draw();
    });
    bus.onCursor((step) => this.#chart.setCursor(step === null ? null : this.#xOf(step)));
    onTheme(() => this.#draw());
  }

  get #data(): ExpertsReply | null {
    return this.#run?.experts ?? null;
  }

  #xOf(step: number): number {
    return this.#run?.xOfStep(pageState().axis, step) ?? step;
  }

  #stepOf(x: number): number {
    return this.#run?.stepOfX(pageState().axis, x) ?? x;
  }

  /** @param of text beside the title that says which of several runs this is */
  set(run: RunData, of: string): void {
    const { load } = pageState();
    this.#run = run;
    this.#loadPicker.value = load;
    this.#of.textContent = `${MEANINGS[load]}${of && `; ${of}`}`;
    const numBuckets = run.experts === null ? 0 : numBucketsOf(run.experts);
    this.element.hidden = numBuckets === 0;
    if (numBuckets === 0) this.links.set(null);
    this.#slider.max = String(Math.max(0, numBuckets - 1));
    if (!this.#isPinned) this.#slider.value = this.#slider.max;
    this.#draw();
  }

  #draw(): void {
    const data = this.#data;
    if (data === null || numBucketsOf(data) === 0) return;
    const state = pageState();
    const [first, last] = state.range ?? [data.firstStep ?? 0, data.lastStep + 1];
    const bucket = Number(this.#slider.value);
    const steps = nameOf(stepsOf(data, bucket));
    this.#at.textContent = steps;
    this.#slider.setAttribute('aria-valuetext', steps);
    const axis = X_AXES[state.axis];
    const range = [this.#xOf(first), this.#xOf(last)] as const;
    this.#chart.set(rowsOf(data, state.load, bucket), {
      name: axis.name,
      range,
      ticks: (maxTicks) => ticksOf(axis, range, maxTicks),
      tick: axis.tick,
      next: (x, by) => this.#xOf(middleOf(stepsOf(data, bucketOf(data, this.#stepOf(x)) + by))),
    });
    fill(this.#scale, ...scaleOf(state.load));
    this.#table.set(data, state.load, bucket);
    const bytes = data.links?.bytes[bucket];
    this.links.set(data.links && bytes ? { ...data.links, bytes } : null, `rows of tokens, ${steps}`);
  }

  #paint({ context, width, bottom, rows, x, clip }: RowPlace<LoadRow>): void {
    const { load } = pageState();
    const data = this.#data;
    if (data === null) return;
    for (let bucket = 0; bucket < numBucketsOf(data); bucket++) {
      const [from, to] = stepsOf(data, bucket);
      const [left, right] = [x(this.#xOf(from)), x(this.#xOf(to + 1))];
      if (right < 0 || left > width) continue;
      const values = new Map(
        data.openLayers.map((layer) => [layer, expertLoad.valuesOf(data, load, layer, bucket)]),
      );
      for (const { row, top } of rows) {
        const { layer, expert, height } = row;
        const value =
          expert === null
            ? expertLoad.valueOfLayer(data, load, layer, bucket)
            : (values.get(layer)?.[expert] ?? 0);
        context.fillStyle = loadColor(load === 'dropped' ? ratioOfDropped(value) : value);
        const inset = expert === null ? 3 : 0;
        const barWidth = Math.max(1, clip(right) - clip(left) + 0.5);
        context.fillRect(clip(left), top + inset, barWidth, height - 2 * inset);
      }
    }
    const moment = x(this.#xOf(middleOf(stepsOf(data, Number(this.#slider.value)))));
    if (moment === clip(moment)) verticalLine(context, moment, [TOP, bottom], '--text');
  }

  #describe({ layer, expert }: LoadRow, step: number): readonly string[] {
    const data = this.#data;
    if (data === null) return [];
    const bucket = bucketOf(data, step);
    const place = `layer ${layer}${expert === null ? '' : `, expert ${expert}`}, ${nameOf(stepsOf(data, bucket))}`;
    if (expert !== null) return [place, ...expertLoad.describeExpert(data, { layer, expert, bucket })];
    return [
      place,
      `demand of the expert with most: ${told(data, 'demand', layer, bucket)} a fair share`,
      `kept by the one with most: ${told(data, 'kept', layer, bucket)}`,
      `dropped by all: ${told(data, 'dropped', layer, bucket)}`,
    ];
  }

  #pin(step: number): void {
    if (this.#data === null) return;
    this.#slider.value = String(bucketOf(this.#data, step));
    this.#isPinned = true;
    this.#draw();
  }
}

/** Returns a row for each layer, with its most loaded expert at a moment, and one for each expert of open layers. */
function rowsOf(data: ExpertsReply, load: PageState['load'], bucket: number): LoadRow[] {
  const { layers, openLayers, numExperts } = data;
  const height = EXPERT_ROWS.find(([upTo]) => numExperts <= upTo)?.[1] ?? LABEL_HEIGHT;
  const every = 2 ** Math.ceil(Math.log2(LABEL_HEIGHT / height));
  return layers.flatMap((layer): LoadRow[] => {
    const isOpen = openLayers.includes(layer);
    const most = load === 'dropped' ? '' : `most ${told(data, load, layer, bucket)}, `;
    const note = `${most}drops ${told(data, 'dropped', layer, bucket)}`;
    const of = { key: String(layer), label: `layer ${layer}`, height: LAYER_ROW, isOpen, note };
    const experts = Array.from({ length: isOpen ? numExperts : 0 }, (_, expert) => {
      const label = expert % every === 0 ? `expert ${expert}` : '';
      return { key: `${layer}.${expert}`, layer, expert, height, label };
    });
    return [{ ...of, layer, expert: null }, ...experts];
  });
}

function told(data: ExpertsReply, load: PageState['load'], layer: number, bucket: number): string {
  return expertLoad.formatLoad(load, expertLoad.valueOfLayer(data, load, layer, bucket));
}

function middleOf([from, to]: readonly [number, number]): number {
  return (from + to + 1) / 2;
}

function nameOf([from, to]: readonly [number, number]): string {
  return from === to ? `step ${from}` : `steps ${from} to ${to}`;
}

function scaleOf(load: PageState['load']): HTMLElement[] {
  return load === 'dropped'
    ? [0, 0.25, 0.5, 0.75, 1].map((share) =>
        legendEntry(loadColor(ratioOfDropped(share)), `${100 * share} %`),
      )
    : [0.25, 0.5, 1, 2, 4].map((ratio) => legendEntry(loadColor(ratio), `${ratio}x`));
}
