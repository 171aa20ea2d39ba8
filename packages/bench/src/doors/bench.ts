import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { asTrainerError, EXIT, TrainerError } from 'locmoe/errors';
import { formatDuration } from 'locmoe/format';
import { machine } from '../machine.js';
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
 * `locmoe bench doors`: measures part after part and writes the report after each, so that a part that fails
 * or is interrupted takes nothing from the others. Figures of parts that are not measured stay as they were.
 *
 * @returns the exit code of the command; that of a failed run if a part failed
 * @throws TrainerError `BAD_INPUT` for an unknown part
 */
export async function benchDoors(
  options: BenchDoorsOptions,
  parts: Readonly<Record<string, () => Promise<Part>>>,
): Promise<number> {
  const unknown = options.only.find((name) => !Object.hasOwn(parts, name));
  if (unknown !== undefined)
    throw new TrainerError(
      'BAD_INPUT',
      `--only ${unknown}: no such part; parts are ${Object.keys(parts).join(', ')}`,
    );
  const stop = new AbortController();
  const abort = () => stop.abort();
  process.on('SIGINT', abort).on('SIGTERM', abort);
  try {
    return await measure(options, parts, stop.signal);
  } finally {
    process.off('SIGINT', abort).off('SIGTERM', abort);
  }
}

async function measure(
  { only, quick, workDir, out, dataDir }: BenchDoorsOptions,
  parts: Readonly<Record<string, () => Promise<Part>>>,
  signal: AbortSignal,
): Promise<number> {
  const names = Object.keys(parts).filter((name) => only.length === 0 || only.includes(name));
  let report = readReport(out, machine());
  let failed = false;
  for (const name of names) {
    console.log(`${name}: measuring`);
    const started = performance.now();
    const folder = path.resolve(workDir, name);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    try {
      const part = await parts[name]!();
      const result = await part({
        ...{ quick, signal, workDir: folder, dataDir: path.resolve(dataDir) },
        log: (line) => console.log(`${name}: ${line}`),
      });
      report = addResult(report, name, result, `locmoe bench doors --only ${name}${quick ? ' --quick' : ''}`);
      writeReport(report, out);
      console.log(
        `${name}: ${JSON.stringify(result.figures)} in ${formatDuration((performance.now() - started) / 1000)}`,
      );
    } catch (error) {
      if (signal.aborted) return EXIT.interrupted;
      const known = asTrainerError(error);
      console.error(`locmoe: ${name}: ${known.line}`);
      if (known.code === 'INTERNAL' && error instanceof Error) console.error(error.stack);
      failed = true;
    }
  }
  console.log(`report: ${path.join(out, 'doors.md')}`);
  return failed ? EXIT.failedRun : EXIT.done;
}
