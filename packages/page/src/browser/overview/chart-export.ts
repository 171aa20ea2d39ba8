import { cssColor } from '../theme.js';
import uPlot from '../vendor/uplot.js';
import type { ChartSeries } from './chart-data.js';

const MARGIN = 12;
const LINE = 18;

export interface LegendEntry {
  readonly label: string;
  readonly value: string;
  readonly color: string;
}

/** Returns the recorded values of a chart as CSV: x, then a column for each series; empty where one has no value. */
export function csvOf(xName: string, series: readonly ChartSeries[]): string {
  const tables = series.map(({ x, y }) => [x, y] as unknown as uPlot.AlignedData);
  const columns = tables.length === 0 ? [[]] : uPlot.join(tables);
  const cell = (text: string) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const head = [xName, ...series.map(({ label }) => label)].map(cell).join(',');
  const rows = Array.from(columns[0], (_, row) => columns.map((column) => column[row] ?? '').join(','));
  return `${[head, ...rows].join('\n')}\n`;
}

/** Returns a picture of a chart with its title and legend, in the colours of the page. */
export function pictureOf(
  title: string,
  legend: readonly LegendEntry[],
  { ctx: { canvas: plot }, width, height }: uPlot,
): Promise<Blob | null> {
  const scale = plot.width / width;
  const picture = document.createElement('canvas');
  const context = picture.getContext('2d');
  if (context === null) return Promise.resolve(null);
  const font = cssColor('--font');
  context.font = `12px ${font}`;
  const places = placed(legend, width, context);
  const top = MARGIN + LINE * (1 + (places.at(-1)?.line ?? 0) + 1) + 4;
  picture.width = Math.round((width + 2 * MARGIN) * scale);
  picture.height = Math.round((top + height + MARGIN) * scale);
  context.scale(scale, scale);
  context.fillStyle = cssColor('--card');
  context.fillRect(0, 0, picture.width, picture.height);
  context.textBaseline = 'middle';
  context.fillStyle = cssColor('--text');
  context.font = `600 13px ${font}`;
  context.fillText(title, MARGIN, MARGIN + LINE / 2);
  context.font = `12px ${font}`;
  for (const { entry, x, line } of places) {
    const y = MARGIN + LINE * (line + 1.5);
    context.fillStyle = entry.color;
    context.fillRect(MARGIN + x, y - 1.5, 10, 3);
    context.fillStyle = cssColor('--text');
    context.fillText(textOf(entry), MARGIN + x + 14, y);
  }
  context.drawImage(plot, MARGIN, top, width, height);
  return new Promise((resolve) => picture.toBlob(resolve));
}

function textOf({ label, value }: LegendEntry): string {
  return `${label} ${value}`;
}

/** Breaks the legend into lines of at most the given width. */
function placed(legend: readonly LegendEntry[], width: number, context: CanvasRenderingContext2D) {
  let [x, line] = [0, 0];
  return legend.map((entry) => {
    const needed = context.measureText(textOf(entry)).width + 30;
    if (x > 0 && x + needed > width) [x, line] = [0, line + 1];
    const place = { entry, x, line };
    x += needed;
    return place;
  });
}
