import type { TopLevelSpec } from 'vega-lite';

/** A chart of a report. */
export interface Chart {
  /** File name without extension. */
  readonly name: string;
  readonly title: string;
  readonly caption: string;
  readonly spec: TopLevelSpec;
}

/** A Vega-Lite spec without the parts that all charts share. */
export type ChartBody = Record<string, unknown>;
export type Rows = readonly Readonly<Record<string, unknown>>[];

/** The complete spec: title, caption, data and shared style. Null if there are no rows. */
export function picture(
  name: string,
  title: string,
  caption: readonly string[],
  rows: Rows,
  body: ChartBody,
): Chart | null {
  if (rows.length === 0) return null;
  return { name, title, caption: caption.join(' '), spec: chart(title, caption, rows, body) };
}

function chart(title: string, caption: readonly string[], rows: Rows, body: ChartBody): TopLevelSpec {
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    background: 'white',
    padding: 12,
    title: { text: title, subtitle: [...caption], anchor: 'start', offset: 14 },
    data: { values: rows },
    config: {
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
    },
    ...body,
  } as TopLevelSpec;
}
