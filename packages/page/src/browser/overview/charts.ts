import { formatBytes, formatCount, formatShare } from '../format.js';
import { pageState, setState } from '../location.js';
import { Chart, type ChartOptions } from './chart.js';
import type { ChartSeries } from './chart-data.js';
import {
  type ChartsInput,
  capacitySeries,
  choiceSeries,
  lossSeries,
  memorySeries,
  partSeries,
  perRun,
  placeSeries,
} from './chart-series.js';
import { chartTools } from './chart-tools.js';
import { byteTicks, formatMs, msTicks, shareTicks } from './units.js';

type Handlers = Pick<ChartOptions, 'onRange' | 'onCursor' | 'onClick'>;

export interface DrawnChart {
  /** Name of the chart in the state of the page, and in the names of saved files. */
  readonly id: string;
  readonly chart: Chart;
  /** Whether lone outliers are kept from setting the scale, unless the user wants them to. */
  readonly clips: boolean;
  readonly seriesOf: (input: ChartsInput) => ChartSeries[];
  /** Words for what is drawn, with one run and with several. */
  readonly units: readonly [one: string, several: string];
  /** Whether the steps whose update was skipped are marked: their values are missing. */
  readonly marksSkipped: boolean;
  readonly emptyText: string;
}

type Description = Omit<ChartOptions, keyof Handlers | 'onToggle'> &
  Pick<DrawnChart, 'id' | 'seriesOf'> &
  Partial<Omit<DrawnChart, 'chart'>> & { readonly isWide?: boolean; readonly canBeLog?: boolean };

const DESCRIPTIONS: readonly Description[] = [
  {
    id: 'loss',
    title: 'Loss',
    yName: 'nats per token',
    format: (value) => value.toFixed(3),
    missing: 'not finite',
    seriesOf: lossSeries,
    isWide: true,
    clips: true,
    canBeLog: true,
  },
  {
    id: 'gradient',
    title: 'Gradient norm',
    yName: 'norm before clipping',
    format: formatCount,
    missing: 'not finite',
    seriesOf: (input) => perRun(input, 'gradient', 'gradientNorm', 'norm'),
    clips: true,
    canBeLog: true,
  },
  {
    id: 'parts',
    title: 'Step time by part',
    yName: 'time of a step',
    format: formatMs,
    ticks: msTicks,
    startsAtZero: true,
    seriesOf: partSeries,
    units: ['mean of ranks', 'whole step'],
    isWide: true,
    clips: true,
  },
  {
    id: 'speed',
    title: 'Tokens per second',
    yName: 'tokens/s',
    format: formatCount,
    startsAtZero: true,
    seriesOf: (input) => perRun(input, 'speed', 'tokensPerS', 'all ranks'),
    clips: true,
    canBeLog: true,
  },
  {
    id: 'places',
    title: 'Where tokens went',
    yName: 'share of kept tokens',
    format: formatShare,
    ticks: shareTicks,
    startsAtZero: true,
    seriesOf: placeSeries,
    units: ['', 'to other nodes'],
    emptyText: 'No sparse layer.',
  },
  {
    id: 'capacity',
    title: 'Dropped, and capacity',
    yName: 'share of routed tokens',
    rightName: 'capacity, x fair share (dotted)',
    format: formatShare,
    ticks: shareTicks,
    formatRight: (value) => `${value.toFixed(2)}x`,
    startsAtZero: true,
    seriesOf: capacitySeries,
    units: ['', 'all that was dropped'],
    emptyText: 'No sparse layer.',
  },
  {
    id: 'choice',
    title: 'What decides the choice',
    yName: 'share of choices, or of tokens',
    rightName: 'gate entropy, nats (dotted)',
    format: formatShare,
    ticks: shareTicks,
    formatRight: (value) => value.toFixed(2),
    startsAtZero: true,
    seriesOf: choiceSeries,
    units: ['', 'as the last token with the id'],
    emptyText: 'Not recorded, or no sparse layer.',
  },
  {
    id: 'auxiliary',
    title: 'Auxiliary loss',
    yName: 'added to the loss',
    format: (value) => value.toPrecision(3),
    missing: 'not finite',
    seriesOf: (input) => perRun(input, 'rates', 'auxiliaryLoss', 'all layers'),
    units: ['of balance and locality', ''],
    clips: true,
    canBeLog: true,
  },
  {
    id: 'rate',
    title: 'Learning rate',
    yName: 'learning rate',
    format: (value) => value.toPrecision(3),
    startsAtZero: true,
    seriesOf: (input) => perRun(input, 'rates', 'learningRate', 'learning rate'),
    canBeLog: true,
  },
  {
    id: 'memory',
    title: 'Memory by rank',
    isWide: true,
    yName: 'resident memory',
    format: formatBytes,
    ticks: byteTicks,
    startsAtZero: true,
    seriesOf: memorySeries,
    units: ['', 'rank with most'],
    emptyText: 'No heartbeats recorded.',
    canBeLog: true,
  },
];

/** Creates the overview's line charts, in page order. @param layerPicker chooses the layer of the routing charts */
export function makeCharts(
  { onStepTime, ...handlers }: Handlers & { readonly onStepTime: Handlers['onClick'] },
  layerPicker: HTMLElement,
): DrawnChart[] {
  return DESCRIPTIONS.map(({ isWide = false, clips = false, canBeLog = false, ...description }) => {
    const { id, seriesOf, missing, units = ['', ''], emptyText = 'No step yet.' } = description;
    const onClick = id === 'parts' ? onStepTime : handlers.onClick;
    const onToggle = (labels: readonly string[]) => {
      const others = pageState().hidden.filter((each) => !each.startsWith(`${id}:`));
      setState({ hidden: [...others, ...labels.map((label) => `${id}:${label}`)] });
    };
    const chart = new Chart({ ...description, ...handlers, onClick, onToggle });
    chart.element.classList.toggle('wide', isWide);
    if (id === 'places') chart.tools.append(layerPicker);
    chart.tools.append(...chartTools(chart, { id, canBeLog }));
    return { id, chart, clips, seriesOf, units, emptyText, marksSkipped: missing !== undefined };
  });
}
