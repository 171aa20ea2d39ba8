import { parse, View } from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';

/** A chart of a report. */
export interface Picture {
  /** Ends the name of its file, after that of the study. */
  readonly name: string;
  readonly title: string;
  readonly caption: string;
  readonly spec: TopLevelSpec;
}

/** A Vega-Lite spec without the parts that all charts share. */
export type ChartBody = Record<string, unknown>;
export type Rows = readonly Readonly<Record<string, unknown>>[];

/** Colour-blind safe (Okabe and Ito). */
export const COLOURS = {
  black: '#000000',
  blue: '#0072b2',
  green: '#009e73',
  orange: '#e69f00',
  purple: '#cc79a7',
  sky: '#56b4e9',
  vermilion: '#d55e00',
  yellow: '#f0e442',
} as const;

const STYLE = {
  font: 'DejaVu Sans, Verdana, sans-serif',
  title: { fontSize: 15, subtitleFontSize: 11, subtitleColor: '#444444', subtitlePadding: 6 },
  axis: { labelFontSize: 11, titleFontSize: 11, titleFontWeight: 'normal', labelLimit: 220 },
  header: { labelFontSize: 12, labelFontWeight: 'bold', title: null },
  legend: {
    symbolType: 'stroke',
    symbolStrokeWidth: 2,
    labelFontSize: 11,
    titleFontSize: 11,
    labelLimit: 240,
  },
  view: { stroke: '#cccccc' },
};

/** A chart with title, caption, data and the style of all; null if there are no rows. */
export function picture(
  name: string,
  title: string,
  caption: readonly string[],
  rows: Rows,
  body: ChartBody,
): Picture | null {
  if (rows.length === 0) return null;
  const spec = {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    background: 'white',
    padding: 12,
    title: { text: title, subtitle: [...caption], anchor: 'start', offset: 14 },
    data: { values: rows },
    config: STYLE,
    ...body,
  } as TopLevelSpec;
  return { name, title, caption: caption.join(' '), spec };
}

/** Draws a chart as SVG text, without a browser or a canvas. */
export async function renderSvg(spec: TopLevelSpec): Promise<string> {
  const view = new View(parse(compile(spec).spec), { renderer: 'none' });
  try {
    return `${await view.toSVG()}\n`;
  } finally {
    view.finalize();
  }
}
