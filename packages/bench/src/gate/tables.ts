import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import type { NumChoices } from './entry.js';

/** Runs of a table that need not be trained where the processor gives the same bits. */
export interface KeptTable {
  /** Digest of the settings in gates-runs.jsonl, where the runs come from. */
  readonly settings: string;
  readonly machine: string;
  readonly precision: string;
  /** Last validation loss by seed, the mean over the domains. */
  readonly losses: Readonly<Record<string, number>>;
  /** Training losses of the first steps with the first seed, by which another processor is told. */
  readonly firstLosses: readonly (number | null)[];
}

export type KeptTables = Partial<Record<NumChoices, KeptTable>>;

const SHIPPED = fileURLToPath(new URL('../../profile/gate-tables.json', import.meta.url));

/** Reads the tables that the package has. */
export function readTables(): KeptTables {
  return existsSync(SHIPPED) ? JSON.parse(readFileSync(SHIPPED, 'utf8')) : {};
}

export function writeTables(tables: KeptTables): void {
  writeFileSync(SHIPPED, `${JSON.stringify(tables, null, 1)}\n`);
}

/**
 * Tells whether the kept runs of a table hold here, which they do where its first losses are the same to the bit.
 *
 * @returns the perplexities by seed, or null, and the reason for readers
 */
export function usable(kept: KeptTable | undefined, firstLosses: KeptTable['firstLosses']) {
  if (kept === undefined)
    return { perplexities: null, why: 'the package has no runs of it, so it is trained here, once' };
  const { machine, precision, losses } = kept;
  const where = `its first ${firstLosses.length} losses are`;
  const there = `those of ${machine} (${precision})`;
  if (!isDeepStrictEqual(kept.firstLosses, firstLosses))
    return { perplexities: null, why: `${where} not ${there}, so it is trained here too, once` };
  const perplexities = Object.entries(losses).map(([seed, loss]) => [seed, Math.exp(loss)] as const);
  return {
    perplexities: Object.fromEntries(perplexities),
    why: `${where} ${there} to the bit, so the runs made there are taken`,
  };
}
