import type { ChartBody } from '../picture.js';
import { type Cell, VARIANT_IDS, VARIANTS, type VariantId } from './jobs.js';

/** Colour-blind safe palette (Okabe and Ito); the two ablations are also dashed. */
const COLOURS: Readonly<Partial<Record<VariantId, string>>> = {
  hash: '#000000',
  switch: '#0072b2',
  locmoe: '#009e73',
  'locmoe-plus': '#d55e00',
  'locmoe-plus-tcr': '#cc79a7',
  'locmoe-plus-ecr': '#e69f00',
};
/** Assigned in order to routers without a colour of their own. */
const OTHER_COLOURS = ['#56b4e9', '#f0e442', '#999999'];

function colourOf(variant: VariantId): string {
  return COLOURS[variant] ?? OTHER_COLOURS[VARIANT_IDS.indexOf(variant) % OTHER_COLOURS.length];
}

export function labelOf(variant: VariantId): string {
  return VARIANTS[variant].label;
}

/** Routers in report order, top to bottom. */
export function routerAxis(title: string | null = null): ChartBody {
  return { field: 'router', type: 'nominal', sort: VARIANT_IDS.map(labelOf), title };
}

/** Colour scale of the routers that appear. */
export function routerColour(variants: readonly VariantId[], legend = true): ChartBody {
  const shown = VARIANT_IDS.filter((variant) => variants.includes(variant));
  return {
    field: 'router',
    type: 'nominal',
    title: 'router',
    scale: { domain: shown.map(labelOf), range: shown.map(colourOf) },
    ...(!legend && { legend: null }),
  };
}

/** Dash scale of the one-sided selections. */
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
