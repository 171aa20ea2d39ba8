import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { TrainerError } from 'locmoe/internal/errors';
import { z } from 'zod';
import { keptReasons, percent, table } from '../markdown.js';
import { median, quantile } from '../statistics.js';
import type { Outage, PartResult } from './part.js';

const outageSchema = z.object({
  detectedS: z.number().nullable(),
  recoveredS: z.number(),
  lostSteps: z.number(),
});

const rowSchema = z.object({
  runs: z.number(),
  /** Medians; null for a fault that a run goes through. */
  detectedS: z.number().nullable(),
  recoveredS: z.number(),
  lostSteps: z.number(),
  violations: z.number(),
});

const reportSchema = z.object({
  faults: z.record(z.string(), rowSchema),
  soak: z
    .object({
      minutes: z.number(),
      faults: z.number(),
      violations: z.number(),
      lossDifference: z.number(),
      effectiveShare: z.number(),
    })
    .nullable(),
  fuzz: z.object({ messages: z.number(), files: z.number(), failures: z.number() }).nullable(),
  costOfFaultFree: z.number().nullable(),
  machine: z.string(),
  command: z.string(),
});

/** `recovery-outages.json`: what the report shows beside `recovery.json`. */
const detailSchema = z.object({
  outages: z.record(z.string(), z.array(outageSchema).readonly()),
  notes: z.record(z.string(), z.string()),
});

/** The files of the report: null where not measured yet. */
export interface RecoveryReport {
  readonly figures: Readonly<z.output<typeof reportSchema>>;
  readonly detail: Readonly<z.output<typeof detailSchema>>;
}

const FIGURES = 'recovery.json';
const DETAIL = 'recovery-outages.json';
const COMMAND = 'npm run bench:recovery';

/**
 * The report in a folder, to be added to; empty if there is none, or none of this machine: figures of two
 * machines do not stand side by side.
 *
 * @throws TrainerError `BAD_INPUT` if its files are not such a report
 */
export function readReport(out: string, machine: string): RecoveryReport {
  const empty: RecoveryReport = {
    figures: { faults: {}, soak: null, fuzz: null, costOfFaultFree: null, machine, command: COMMAND },
    detail: { outages: {}, notes: {} },
  };
  if (!existsSync(path.join(out, FIGURES))) return empty;
  try {
    const figures = reportSchema.parse(readJson(out, FIGURES));
    return figures.machine === machine
      ? { figures, detail: detailSchema.parse(readJson(out, DETAIL)) }
      : empty;
  } catch (error) {
    throw new TrainerError(
      'BAD_INPUT',
      `${path.join(out, FIGURES)}: not a report of bench recovery; remove it`,
      {},
      { cause: error },
    );
  }
}

function readJson(out: string, name: string): unknown {
  return JSON.parse(readFileSync(path.join(out, name), 'utf8'));
}

/** The report with the figures of a part in place of its earlier ones. */
export function addResult(
  { figures, detail }: RecoveryReport,
  part: string,
  { fault, soak, fuzz, costOfFaultFree, notes }: PartResult,
): RecoveryReport {
  const outages = fault === undefined ? {} : { [part]: fault.outages };
  return {
    figures: {
      ...figures,
      ...(fault !== undefined && {
        faults: { ...figures.faults, [part]: rowOf(fault.outages, fault.violations.length) },
      }),
      ...(soak !== undefined && { soak: { ...soak, violations: soak.violations.length } }),
      ...(fuzz !== undefined && { fuzz: { ...fuzz, failures: fuzz.failures.length } }),
      ...(costOfFaultFree !== undefined && { costOfFaultFree }),
    },
    detail: { outages: { ...detail.outages, ...outages }, notes: { ...detail.notes, [part]: notes } },
  };
}

function rowOf(outages: readonly Outage[], violations: number): z.output<typeof rowSchema> {
  const detected = outages.flatMap(({ detectedS }) => detectedS ?? []);
  return {
    runs: outages.length,
    detectedS: detected.length === 0 ? null : round(median(detected)),
    recoveredS: round(median(outages.map(({ recoveredS }) => recoveredS))),
    lostSteps: median(outages.map(({ lostSteps }) => lostSteps)),
    violations,
  };
}

/** To a hundredth. */
function round(seconds: number): number {
  return Math.round(100 * seconds) / 100;
}

/** Writes `recovery.json`, `recovery-outages.json` and `recovery.md` into the folder `out`. */
export function writeReport(report: RecoveryReport, out: string): void {
  for (const [name, content] of [
    [FIGURES, report.figures],
    [DETAIL, report.detail],
  ] as const)
    writeFileSync(path.join(out, name), `${JSON.stringify(content, null, 1)}\n`);
  const markdown = path.join(out, 'recovery.md');
  const previous = existsSync(markdown) ? readFileSync(markdown, 'utf8') : '';
  writeFileSync(markdown, reportMarkdown(report, previous));
}

function reportMarkdown({ figures, detail }: RecoveryReport, previous: string): string {
  const { faults, soak, fuzz, costOfFaultFree, machine } = figures;
  const rows = Object.entries(faults).map(([name, { runs, violations }]) => {
    const outages = detail.outages[name] ?? [];
    const detected = outages.flatMap(({ detectedS }) => detectedS ?? []);
    return [
      `\`${name}\``,
      String(runs),
      distribution(detected, seconds),
      distribution(
        outages.map(({ recoveredS }) => recoveredS),
        seconds,
      ),
      distribution(
        outages.map(({ lostSteps }) => lostSteps),
        (steps) => steps.toFixed(0),
      ),
      String(violations),
    ];
  });
  const header = [
    'fault',
    'times',
    'known after, s',
    'first new step after, s',
    'steps done again',
    'invariants broken',
  ];
  const rest = [
    soak !== null && [
      'soak',
      `${soak.minutes} min, ${soak.faults} faults: ${soak.violations} invariants broken, final loss ${soak.lossDifference} from that without faults, ${percent(soak.effectiveShare)} of the time on steps that counted`,
    ],
    fuzz !== null && [
      'fuzz',
      `${fuzz.messages} mutated messages, ${fuzz.files} mutated checkpoints: ${fuzz.failures} failures`,
    ],
    costOfFaultFree !== null && [
      'a run without faults',
      `${percent(costOfFaultFree)} more time a step for all of it`,
    ],
  ].filter((row) => row !== false);
  return [
    '# A run survives',
    `What faults cost a run, on ${machine}, by \`${COMMAND}\`. Each cell: median, 90th percentile, worst.`,
    table([header, ...rows]),
    ...(rest.length === 0 ? [] : [table([['', 'result'], ...rest])]),
    ...Object.entries(detail.notes).map(([part, notes]) => `**${part}.** ${notes}`),
    keptReasons(previous),
    '',
  ].join('\n\n');
}

function seconds(value: number): string {
  return value.toFixed(2);
}

function distribution(values: readonly number[], format: (value: number) => string): string {
  if (values.length === 0) return '-';
  return [median(values), quantile(values, 0.9), Math.max(...values)].map(format).join(' / ');
}
