import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { TrainerError } from 'locmoe/internal/errors';
import { z } from 'zod';
import { keptReasons, table } from '../markdown.js';
import type { DoorFigure, DoorFigures, PartResult } from './part.js';

const LABELS: Readonly<Record<DoorFigure, string>> = {
  prepareMBPerS: 'text prepared, MB/s',
  preparePeakMemoryMB: 'memory at its peak meanwhile, MB',
  generateTokensPerS: '`locmoe generate`, tokens/s',
  generateSpeedupByCache: 'speed by the key/value cache, times that without',
  apiConcurrentClients: '`locmoe api`, clients served at once',
  onnxMaxLogitDifference: 'ONNX, greatest difference of a logit',
  webTokensPerS: 'in the browser, tokens/s',
  packageInstallS: 'from the package to a training, s',
};
const FIGURES = Object.keys(LABELS) as DoorFigure[];

const reportSchema = z.object({
  ...(Object.fromEntries(FIGURES.map((figure) => [figure, z.number().nullable()])) as Record<
    DoorFigure,
    z.ZodNullable<z.ZodNumber>
  >),
  machine: z.string(),
  commands: z.partialRecord(z.enum(FIGURES), z.string()),
  notes: z.record(z.string(), z.string()),
});

/** The file `doors.json`: figures, null where not measured; the command of each; notes by part. */
export type DoorsReport = Readonly<z.output<typeof reportSchema>>;

/**
 * The report in a folder, to be added to; empty if there is none, or none of this machine: figures of two
 * machines do not stand side by side.
 *
 * @throws TrainerError `BAD_INPUT` if `doors.json` is not such a report
 */
export function readReport(out: string, machine: string): DoorsReport {
  const file = path.join(out, 'doors.json');
  const empty = {
    ...(Object.fromEntries(FIGURES.map((figure) => [figure, null])) as Record<DoorFigure, null>),
    machine,
    commands: {},
    notes: {},
  };
  if (!existsSync(file)) return empty;
  try {
    const report = reportSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
    return report.machine === machine ? report : empty;
  } catch (error) {
    throw new TrainerError(
      'BAD_INPUT',
      `${file}: not a report of bench doors; remove it`,
      {},
      { cause: error },
    );
  }
}

/** The report with the figures of a part in place of its earlier ones. */
export function addResult(
  report: DoorsReport,
  part: string,
  { figures, notes }: PartResult,
  command: string,
): DoorsReport {
  const commands = Object.fromEntries(Object.keys(figures).map((figure) => [figure, command]));
  return {
    ...report,
    ...rounded(figures),
    commands: { ...report.commands, ...commands },
    notes: { ...report.notes, [part]: notes },
  };
}

/** To four digits: more would be noise. */
function rounded(figures: Partial<DoorFigures>): Partial<DoorFigures> {
  return Object.fromEntries(
    Object.entries(figures).map(([figure, value]) => [figure, Number(value.toPrecision(4))]),
  );
}

/** Writes `doors.json` and `doors.md` into the folder `out`. */
export function writeReport(report: DoorsReport, out: string): void {
  writeFileSync(path.join(out, 'doors.json'), `${JSON.stringify(report, null, 2)}\n`);
  const markdown = path.join(out, 'doors.md');
  const previous = existsSync(markdown) ? readFileSync(markdown, 'utf8') : '';
  writeFileSync(markdown, reportMarkdown(report, previous));
}

function reportMarkdown(report: DoorsReport, previous: string): string {
  const measured = FIGURES.flatMap((figure) => {
    const value = report[figure];
    return value === null ? [] : [[LABELS[figure], String(value), `\`${report.commands[figure]}\``]];
  });
  return [
    '# Text in, a model out',
    `What the ways into and out of the trainer cost, on ${report.machine}.`,
    table([['', 'figure', 'command'], ...measured]),
    ...Object.entries(report.notes).map(([part, notes]) => `**${part}.** ${notes}`),
    keptReasons(previous),
    '',
  ].join('\n\n');
}
