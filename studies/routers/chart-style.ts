import { ROUTER_NAMES } from 'locmoe/internal/routing/index';
import type { ChartBody } from '../kit/picture.js';
import type { Cell } from './jobs.js';
import { labelOf, VARIANT_IDS, type VariantId } from './variants.js';

/** Colour-blind safe palette (Okabe and Ito); ablations and controls are also dashed. */
const COLOURS: Readonly<Partial<Record<VariantId, string>>> = {
  hash: '#000000',
  switch: '#0072b2',
  locmoe: '#009e73',
  'locmoe-plus': '#d55e00',
  'locmoe-plus-tcr': '#cc79a7',
  'locmoe-plus-ecr': '#e69f00',
  moge: '#56b4e9',
  'locmoe-plus-random': '#f0e442',
  'hash-first-come': '#999999',
};
/** Assigned in order to routers without a colour of their own. */
const OTHER_COLOURS = ['#882255', '#44aa99', '#999933'];

export function colourOf(variant: VariantId): string {
  return COLOURS[variant] ?? OTHER_COLOURS[VARIANT_IDS.indexOf(variant) % OTHER_COLOURS.length]!;
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

/** Dash scale: what is no router of its own is dashed. */
export function routerDash(variants: readonly VariantId[]): ChartBody {
  const shown = VARIANT_IDS.filter((variant) => variants.includes(variant));
  return {
    field: 'router',
    type: 'nominal',
    title: 'router',
    scale: {
      domain: shown.map(labelOf),
      range: shown.map((variant) => (ROUTER_NAMES.some((name) => name === variant) ? [1, 0] : [5, 3])),
    },
  };
}

export function cellLabel({ layout, placement }: Cell): string {
  const [nodes, workers] = layout.split('x');
  return `${nodes} nodes x ${workers} worker${workers === '1' ? '' : 's'}, placement ${placement}`;
}
