import { isDeepStrictEqual } from 'node:util';
import { machine } from '@locmoe/bench/internal/folders';
import { type NumChoices, SEEDS, TABLES } from '@locmoe/bench/internal/gate/entry';
import { firstLook, type RunFolders } from '@locmoe/bench/internal/gate/runs';
import { type KeptTable, readTables, writeTables } from '@locmoe/bench/internal/gate/tables';
import type { Cell } from './jobs.js';
import { type Compared, Results } from './results.js';

/** Questions whose reference is the table of `locmoe bench gate`, by the experts of a token. */
const QUESTIONS = { 1: 'llama-one', 2: 'llama-two' } as const;

/** Returns the runs for quality of a table; undefined if the design does not have them. */
export function tableCell(cells: readonly Cell[], numChoices: NumChoices): Cell | undefined {
  return cells.find(
    ({ kind, question, arm }) =>
      kind === 'quality' && question.id === QUESTIONS[numChoices] && arm.id === question.references[0]!.id,
  );
}

/** Returns what is kept of the runs of a table; null unless all seeds have run on this machine. */
export function keptRuns(
  { cells, runs }: Pick<Compared, 'cells' | 'runs'>,
  numChoices: NumChoices,
  here: string,
): Omit<KeptTable, 'firstLosses'> | null {
  const cell = tableCell(cells, numChoices);
  if (cell === undefined) return null;
  const made = new Results({ cells, runs })
    .of(cell.question, cell.arm, 'quality')
    .filter((run) => run.machine === here);
  if (SEEDS.some((seed) => made.every((run) => run.seed !== seed))) return null;
  const { settings, precision } = made[0]!;
  const losses = Object.fromEntries(made.map(({ seed, curve }) => [seed, curve.at(-1)!.loss]));
  return { settings, machine: here, precision, losses };
}

/**
 * Keeps the runs of the tables in the package, so that `locmoe bench gate` need not train them. What is new gets its first
 * losses by a short run: it has just been made here, by the same code.
 *
 * @throws TrainerError as `firstLook`
 */
export async function keepTables(compared: Compared, folders: RunFolders): Promise<void> {
  const before = readTables();
  const tables = { ...before };
  for (const numChoices of [1, 2] as const) {
    const kept = keptRuns(compared, numChoices, machine());
    const known = before[numChoices];
    if (kept === null || isDeepStrictEqual({ ...kept, firstLosses: known?.firstLosses }, known)) continue;
    const { firstLosses } = await firstLook(folders, TABLES[numChoices]);
    tables[numChoices] = { ...kept, firstLosses };
  }
  if (!isDeepStrictEqual(tables, before)) writeTables(tables);
}
