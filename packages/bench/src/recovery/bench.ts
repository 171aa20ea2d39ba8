import path from 'node:path';
import { formatTable } from 'locmoe/internal/format';
import type { BenchFolders } from '../folders.js';
import { machine } from '../folders.js';
import { measureParts } from '../measure-parts.js';
import { addResult, billTable, faultTable, otherRows, readFigures, writeRecovery } from './figures.js';
import type { Part, PartResult } from './part.js';

export interface BenchRecoveryOptions extends BenchFolders {
  /** Names of parts; empty for all. */
  readonly only: readonly string[];
  readonly runs?: number;
  readonly quick: boolean;
  readonly seed: number;
  readonly dataDir: string;
}

/**
 * `locmoe bench recovery`: injects faults, prints what each cost and writes `recovery.json` after each part.
 * Figures of parts that are not measured stay as they were.
 *
 * @returns as `measureRecovery`
 * @throws as `measureParts`
 */
export async function benchRecovery(options: BenchRecoveryOptions, parts: Parts): Promise<number> {
  const { out } = options;
  let figures = readFigures(out, machine());
  const code = await measureRecovery(options, parts, (name, result) => {
    figures = addResult(figures, name, result);
    writeRecovery(figures, machine(), out);
  });
  console.log(`\n${machine()}; median / 90th percentile / worst\n${formatTable(faultTable(figures))}`);
  const bills = billTable(figures);
  if (bills.length > 0) console.log(`\nwhere the time went, medians\n${formatTable(bills)}`);
  for (const [name, result] of otherRows(figures)) console.log(`${name}: ${result}`);
  console.log(`figures: ${path.join(out, 'recovery.json')}`);
  return code;
}

type Parts = Readonly<Record<string, () => Promise<Part>>>;

/**
 * @param found called with the result of each part
 * @returns as `measureParts`; the exit code of a failed run also if an invariant was violated
 * @throws as `measureParts`
 */
export function measureRecovery(
  { only, runs, quick, seed, workDir, out, dataDir }: BenchRecoveryOptions,
  parts: Parts,
  found: (name: string, result: PartResult) => void | Promise<void>,
): Promise<number> {
  return measureParts({
    parts,
    only,
    workDir,
    out,
    measure: async (name, part, place) => {
      const result = await part({ ...place, runs, quick, seed, dataDir: path.resolve(dataDir) });
      await found(name, result);
      return { told: 'measured', isBroken: isBroken(result) };
    },
  });
}

function isBroken({ fault, soak, fuzz }: PartResult): boolean {
  return [fault?.violations, soak?.violations, fuzz?.failures].some(
    (broken) => broken !== undefined && broken.length > 0,
  );
}
