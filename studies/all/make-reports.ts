import { EXIT, TrainerError } from 'locmoe/internal/errors';
import { formatDuration, formatTable } from 'locmoe/internal/format';

/** The arguments of `locmoe` that make a report, or a command of its own. */
export type Reports = Readonly<Record<string, readonly string[]>>;

export interface MakingOptions {
  readonly reports: Reports;
  /** Names of reports; empty for all. */
  readonly only: readonly string[];
  /** Runs a command to its end and gives its exit code. */
  readonly run: (command: readonly string[]) => Promise<number>;
  readonly log: (line: string) => void;
}

/**
 * Makes report after report, so that each has the machine for itself. One that fails takes nothing from the others; one that was
 * interrupted ends all.
 *
 * @returns the exit code: that of a failed run if a report failed
 * @throws TrainerError `BAD_INPUT` for an unknown report
 */
export async function makeReports({ reports, only, run, log }: MakingOptions): Promise<number> {
  const names = Object.keys(reports);
  const unknown = only.find((name) => !names.includes(name));
  if (unknown !== undefined)
    throw new TrainerError('BAD_INPUT', `--only ${unknown}: no such report; reports are ${names.join(', ')}`);
  const made: { name: string; code: number; seconds: number }[] = [];
  for (const name of names.filter((each) => only.length === 0 || only.includes(each))) {
    log(`\n${name}: ${reports[name]!.join(' ')}`);
    const began = performance.now();
    const code = await run(reports[name]!);
    const seconds = (performance.now() - began) / 1000;
    made.push({ name, code, seconds });
    log(`${name}: ${resultLabel(code)} after ${formatDuration(seconds)}`);
    if (code === EXIT.interrupted) break;
  }
  const total = made.reduce((sum, { seconds }) => sum + seconds, 0);
  log(
    `\n${formatTable(
      [
        ['report', 'result', 'took'],
        ...made.map(({ name, code, seconds }) => [name, resultLabel(code), formatDuration(seconds)]),
        ['all', '', formatDuration(total)],
      ],
      { textColumns: [1] },
    )}`,
  );
  if (made.some(({ code }) => code === EXIT.interrupted)) return EXIT.interrupted;
  return made.every(({ code }) => code === EXIT.done) ? EXIT.done : EXIT.failedRun;
}

function resultLabel(code: number): string {
  if (code === EXIT.done) return 'made';
  return code === EXIT.interrupted ? 'stopped' : `failed with code ${code}`;
}
