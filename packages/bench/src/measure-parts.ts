import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { asTrainerError, EXIT, TrainerError } from 'locmoe/errors';
import { formatDuration } from 'locmoe/format';
import { type BenchFolders, makeBenchFolders } from './folders.js';

/** What a part of a bench is given, whatever it measures. */
export interface MeasuredPart {
  /** Folder of this part alone, emptied before it starts; kept afterwards. */
  readonly workDir: string;
  readonly log: (line: string) => void;
  /** Aborted by SIGINT or SIGTERM: the part then ends its processes and throws. */
  readonly signal: AbortSignal;
}

export interface MeasuringOptions<Part> extends BenchFolders {
  readonly parts: Readonly<Record<string, () => Promise<Part>>>;
  /** Names of parts; empty for all. */
  readonly only: readonly string[];
  /**
   * Measures one part and writes what it gives into the report.
   *
   * @returns what to say of it, and whether what it found is a failure
   */
  readonly measure: (
    name: string,
    part: Part,
    place: MeasuredPart,
  ) => Promise<{ readonly told: string; readonly isBroken: boolean }>;
}

/**
 * Measures part after part, so that one that fails or is interrupted takes nothing from the others.
 *
 * @returns the exit code of the command; that of a failed run if a part failed
 * @throws TrainerError `BAD_INPUT` for an unknown part
 */
export async function measureParts<Part>(options: MeasuringOptions<Part>): Promise<number> {
  const names = Object.keys(options.parts);
  const unknown = options.only.find((name) => !names.includes(name));
  if (unknown !== undefined)
    throw new TrainerError('BAD_INPUT', `--only ${unknown}: no such part; parts are ${names.join(', ')}`);
  makeBenchFolders(options);
  const stop = new AbortController();
  const abort = () => stop.abort();
  process.on('SIGINT', abort).on('SIGTERM', abort);
  try {
    let failed = false;
    for (const name of names.filter((each) => options.only.length === 0 || options.only.includes(each))) {
      failed = (await hasFailed(name, options, stop.signal)) || failed;
      if (stop.signal.aborted) return EXIT.interrupted;
    }
    return failed ? EXIT.failedRun : EXIT.done;
  } finally {
    process.off('SIGINT', abort).off('SIGTERM', abort);
  }
}

async function hasFailed<Part>(
  name: string,
  { parts, workDir, measure }: MeasuringOptions<Part>,
  signal: AbortSignal,
): Promise<boolean> {
  const log = (line: string) => console.log(`${name}: ${line}`);
  log('measuring');
  const started = performance.now();
  const folder = path.resolve(workDir, name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  try {
    const { told, isBroken } = await measure(name, await parts[name]!(), { workDir: folder, log, signal });
    log(`${told} in ${formatDuration((performance.now() - started) / 1000)}`);
    return isBroken;
  } catch (error) {
    if (signal.aborted) return false;
    const known = asTrainerError(error);
    console.error(`locmoe: ${name}: ${known.line}`);
    if (known.code === 'INTERNAL' && error instanceof Error) console.error(error.stack);
    return true;
  }
}
