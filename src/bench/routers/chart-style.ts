import type { TopLevelSpec } from 'vega-lite';
import { type Cell, VARIANT_IDS, VARIANTS, type VariantId } from './plan.js';

/** A picture of the comparison. */
export interface Chart {
  /** File name without extension. */
  readonly name: string;
  readonly title: string;
  readonly caption: string;
  readonly spec: TopLevelSpec;
}

/** Part of a chart: a spec without what is the same in all of them. */
export type ChartBody = Record<string, unknown>;
export type Rows = readonly Readonly<Record<string, unknown>>[];

/** Colours that people with any colour vision tell apart (Okabe and Ito); both ablations are dashed besides. */
const COLOURS: Readonly<Record<VariantId, string>> = {
  hash: '#000000',
  switch: '#0072b2',
  locmoe: '#009e73',
  'locmoe-plus': '#d55e00',
  'locmoe-plus-tcr': '#cc79a7',
  'locmoe-plus-ecr': '#e69f00',
};

/** A chart with what all share: title, caption under it, data and look. Null if there is nothing to show. */
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

export function labelOf(variant: VariantId): string {
  return VARIANTS[variant].label;
}

/** Routers in the order of the plan, from top to bottom. */
export function routerAxis(title: string | null = null): ChartBody {
  return { field: 'router', type: 'nominal', sort: VARIANT_IDS.map(labelOf), title };
}

/** Colour of the routers that appear. */
export function routerColour(variants: readonly VariantId[], legend = true): ChartBody {
  const shown = VARIANT_IDS.filter((variant) => variants.includes(variant));
  return {
    field: 'router',
    type: 'nominal',
    title: 'router',
    scale: { domain: shown.map(labelOf), range: shown.map((variant) => COLOURS[variant]) },
    ...(!legend && { legend: null }),
  };
}

/** Dashes for the one-sided selections. */
export function routerDash(variants: readonly VariantId[]): ChartBody {
  const shown = VARIANT_IDS.filter((variant) => variants.includes(variant));
  return {
    field: 'router',
    type: 'nominal',
    title: 'router',
    scale: {
      domain: shown.map(labelOf),
      range: shown.map((variant) => (variant.endsWith('cr') ? [5, 3] : [1, 0])),
    },
  };
}

export function cellLabel({ layout, placement }: Cell): string {
  const [nodes, workers] = layout.split('x');
  return `${nodes} nodes x ${workers} worker${workers === '1' ? '' : 's'}, placement ${placement}`;
}
