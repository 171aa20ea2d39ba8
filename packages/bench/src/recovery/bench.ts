import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { asTrainerError, EXIT, TrainerError } from 'locmoe/errors';
import { formatDuration } from 'locmoe/format';
import { machine } from '../machine.js';
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

type Parts = Readonly<Record<string, () => Promise<Part>>>;

/**
 * `locmoe bench recovery`: measures part after part and writes the report after each, so that a part that fails or is
 * interrupted takes nothing from the others. Figures of parts that are not measured stay as they were.
 *
 * @returns the exit code of the command; that of a failed run if a part failed, or something was broken
 * @throws TrainerError `BAD_INPUT` for an unknown part
 */
export async function benchRecovery(options: BenchRecoveryOptions, parts: Parts): Promise<number> {
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

async function measure(options: BenchRecoveryOptions, parts: Parts, signal: AbortSignal): Promise<number> {
  const { only, runs, quick, seed, workDir, out, dataDir } = options;
  let report = readReport(out, machine());
  let failed = false;
  for (const name of Object.keys(parts).filter((each) => only.length === 0 || only.includes(each))) {
    const log = (line: string) => console.log(`${name}: ${line}`);
    log('measuring');
    const started = performance.now();
    const folder = path.resolve(workDir, name);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    try {
      const part = await parts[name]!();
      const places = { workDir: folder, dataDir: path.resolve(dataDir) };
      const result = await part({ runs, quick, seed, ...places, log, signal });
      report = addResult(report, name, result);
      writeReport(report, out);
      failed ||= isBroken(result);
      log(`measured in ${formatDuration((performance.now() - started) / 1000)}`);
    } catch (error) {
      if (signal.aborted) return EXIT.interrupted;
      const known = asTrainerError(error);
      console.error(`locmoe: ${name}: ${known.line}`);
      if (known.code === 'INTERNAL' && error instanceof Error) console.error(error.stack);
      failed = true;
    }
  }
  console.log(`report: ${path.join(out, 'recovery.md')}`);
  return failed ? EXIT.failedRun : EXIT.done;
}

function isBroken({ fault, soak, fuzz }: PartResult): boolean {
  return [fault?.violations, soak?.violations, fuzz?.failures].some(
    (broken) => broken !== undefined && broken.length > 0,
  );
}
