import path from 'node:path';
import { machine } from '../machine.js';
import { measureParts } from '../measure-parts.js';
import type { Part, PartResult } from './part.js';
import { addResult, readReport, writeReport } from './report.js';

export interface BenchRecoveryOptions {
  /** Names of parts; empty for all. */
  readonly only: readonly string[];
  readonly runs?: number;
  readonly quick: boolean;
  readonly seed: number;
  readonly workDir: string;
  /** Output folder of the report. */
  readonly out: string;
  readonly dataDir: string;
}

/**
 * `locmoe bench recovery`. The report is written after each part; figures of parts that are not measured stay as
 * they were.
 *
 * @returns as `measureParts`; that of a failed run also if an invariant was broken
 * @throws as `measureParts`
 */
export async function benchRecovery(
  { only, runs, quick, seed, workDir, out, dataDir }: BenchRecoveryOptions,
  parts: Readonly<Record<string, () => Promise<Part>>>,
): Promise<number> {
  let report = readReport(out, machine());
  const code = await measureParts({
    parts,
    only,
    workDir,
    out,
    measure: async (name, part, place) => {
      const result = await part({ ...place, runs, quick, seed, dataDir: path.resolve(dataDir) });
      report = addResult(report, name, result);
      writeReport(report, out);
      return { told: 'measured', isBroken: isBroken(result) };
    },
  });
  console.log(`report: ${path.join(out, 'recovery.md')}`);
  return code;
}

function isBroken({ fault, soak, fuzz }: PartResult): boolean {
  return [fault?.violations, soak?.violations, fuzz?.failures].some(
    (broken) => broken !== undefined && broken.length > 0,
  );
}
