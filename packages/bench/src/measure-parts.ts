import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { asTrainerError, EXIT, TrainerError } from 'locmoe/internal/errors';
import { formatDuration } from 'locmoe/internal/format';
import { interruptible } from 'locmoe/internal/os/on-signals';
import { type BenchFolders, makeBenchFolders } from './folders.js';

export interface MeasuredPart {
  /** Folder for this part only, emptied before the part starts; kept afterwards. */
  readonly workDir: string;
  readonly log: (line: string) => void;
  /** Aborted when a signal requests the end: the part then ends its processes and throws. */
  readonly signal: AbortSignal;
}

export interface MeasuringOptions<Part> extends BenchFolders {
  readonly parts: Readonly<Record<string, () => Promise<Part>>>;
  /** Names of parts; empty for all. */
  readonly only: readonly string[];
  /**
   * Measures one part and writes its figures into the report.
   *
   * @returns what to print about it, and whether its findings count as a failure
   */
  readonly measure: (
    name: string,
    part: Part,
    place: MeasuredPart,
  ) => Promise<{ readonly told: string; readonly isBroken: boolean }>;
}

/**
 * Measures one part after the other, so that a part that fails or is interrupted does not affect the others.
 *
 * @returns the exit code of the command; that of a failed run if a part failed
 * @throws TrainerError `BAD_INPUT` for an unknown part; `INTERRUPTED`
 */
export async function measureParts<Part>(options: MeasuringOptions<Part>): Promise<number> {
  const names = Object.keys(options.parts);
  const unknown = options.only.find((name) => !names.includes(name));
  if (unknown !== undefined)
    throw new TrainerError('BAD_INPUT', `--only ${unknown}: no such part; parts are ${names.join(', ')}`);
  makeBenchFolders(options);
  return interruptible('ended; parts that were measured keep their figures', async (signal) => {
    let failed = false;
    for (const name of names.filter((each) => options.only.length === 0 || options.only.includes(each))) {
      failed = (await hasFailed(name, options, signal)) || failed;
      signal.throwIfAborted();
    }
    return failed ? EXIT.failedRun : EXIT.done;
  });
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
    signal.throwIfAborted();
    const known = asTrainerError(error);
    if (known.code === 'INTERRUPTED') throw error;
    console.error(`locmoe: ${name}: ${known.line}`);
    if (known.code === 'INTERNAL' && error instanceof Error) console.error(error.stack);
    return true;
  }
}
