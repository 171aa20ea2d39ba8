import path from 'node:path';
import { machine } from '../machine.js';
import { measureParts } from '../measure-parts.js';
import type { Part } from './part.js';
import { addResult, readReport, writeReport } from './report.js';

export interface BenchDoorsOptions {
  /** Names of parts; empty for all. */
  readonly only: readonly string[];
  readonly quick: boolean;
  readonly workDir: string;
  /** Output folder of the report. */
  readonly out: string;
  readonly dataDir: string;
}

/**
 * `locmoe bench doors`. The report is written after each part; figures of parts that are not measured stay as
 * they were.
 *
 * @returns as `measureParts`
 * @throws as `measureParts`
 */
export async function benchDoors(
  { only, quick, workDir, out, dataDir }: BenchDoorsOptions,
  parts: Readonly<Record<string, () => Promise<Part>>>,
): Promise<number> {
  let report = readReport(out, machine());
  const code = await measureParts({
    parts,
    only,
    workDir,
    out,
    measure: async (name, part, place) => {
      const result = await part({ ...place, quick, dataDir: path.resolve(dataDir) });
      report = addResult(report, name, result, `locmoe bench doors --only ${name}${quick ? ' --quick' : ''}`);
      writeReport(report, out);
      return { told: JSON.stringify(result.figures), isBroken: false };
    },
  });
  console.log(`report: ${path.join(out, 'doors.md')}`);
  return code;
}
