import { rowPart } from './measure-row.js';
import type { Part } from './part.js';
import { ROWS } from './rows.js';

/** The parts by name, in the order of measurement: the rows of the fault matrix, then the rest. */
export const PARTS: Readonly<Record<string, () => Promise<Part>>> = {
  ...Object.fromEntries(Object.entries(ROWS).map(([name, row]) => [name, rowPart(name, row)])),
  soak: async () => (await import('./soak.js')).soakPart,
  cost: async () => (await import('./cost.js')).costPart,
};
