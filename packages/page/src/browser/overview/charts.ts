import { formatBytes, formatCount, formatDurationMs, formatElapsed, formatShare } from '../format.js';
import { STEPS_MS } from '../ticks.js';
import { Chart, type ChartOptions } from './chart.js';
import type { ChartSeries } from './chart-data.js';
import {
  type ChartsInput,
  capacitySeries,
  gradientSeries,
  lossSeries,
  memorySeries,
  partSeries,
  placeSeries,
  speedSeries,
} from './chart-series.js';
import { chartTools } from './chart-tools.js';
import { byteTicks, formatMs, msTicks, shareTicks } from './units.js';
import { STEP_AXIS, type XAxis } from './x-axis.js';

type Handlers = Pick<ChartOptions, 'onRange' | 'onCursor' | 'onClick'>;

export interface DrawnChart {
  /** Its name in the state of the page, and in the names of saved files. */
  readonly id: string;
  readonly chart: Chart;
  readonly isWide: boolean;
  /** Lets no lone outlier set its scale, unless the user wants that. */
  readonly clips: boolean;
  readonly seriesOf: (input: ChartsInput) => ChartSeries[];
  /** What is drawn of one run, and of several. */
  readonly units: readonly [one: string, several: string];
  readonly emptyText: string;
}

type Description = Omit<ChartOptions, keyof Handlers> &
  Pick<DrawnChart, 'id' | 'seriesOf'> &
  Partial<Omit<DrawnChart, 'chart'>> & { readonly canBeLog?: boolean };

const DESCRIPTIONS: readonly Description[] = [
  {
    id: 'loss',
    title: 'Loss',
    yName: 'nats per token',
    format: (value) => value.toFixed(3),
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
    seriesOf: gradientSeries,
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
    seriesOf: speedSeries,
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
    id: 'memory',
    title: 'Memory by rank',
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

/** The overview's line charts, in page order. @param layerPicker chooses the layer of the routing charts */
export function makeCharts(
  { onStepTime, ...handlers }: Handlers & { readonly onStepTime: Handlers['onClick'] },
  layerPicker: HTMLElement,
): DrawnChart[] {
  return DESCRIPTIONS.map(({ isWide = false, clips = false, canBeLog = false, ...description }) => {
    const { id, seriesOf, units = ['', ''], emptyText = 'No step yet.' } = description;
    const onClick = id === 'parts' ? onStepTime : handlers.onClick;
    const chart = new Chart({ ...description, ...handlers, onClick });
    if (id === 'places') chart.tools.append(layerPicker);
    chart.tools.append(...chartTools(chart, { id, canBeLog }));
    return { id, chart, isWide, clips, seriesOf, units, emptyText };
  });
}

/** x values in seconds since the start of the run. */
const TIME_AXIS: XAxis = {
  name: 'time since the start',
  steps: STEPS_MS.map((ms) => ms / 1e3),
  space: 72,
  tick: (seconds) => formatElapsed(1e3 * seconds),
  place: (seconds) => `at ${formatDurationMs(1e3 * seconds)}`,
};

export function axisOf(axis: ChartsInput['axis']): XAxis {
  return axis === 'step' ? STEP_AXIS : TIME_AXIS;
}
