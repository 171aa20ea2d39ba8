import type { ChartBody } from '../picture.js';
import { labelOf, VARIANT_IDS } from './variants.js';

/** Routers in report order, top to bottom. */
export function routerAxis(title: string | null = null): ChartBody {
  return { field: 'router', type: 'nominal', sort: VARIANT_IDS.map(labelOf), title };
}
