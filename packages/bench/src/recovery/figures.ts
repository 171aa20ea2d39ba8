import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { RECOVERY_SPANS } from '@locmoe/run-format';
import { TrainerError } from 'locmoe/internal/errors';
import { z } from 'zod';
import { median, quantile, sum } from '../statistics.js';
import type { Outage, PartResult } from './part.js';

const outageSchema = z.object({
  detectedS: z.number().nullable(),
  recoveredS: z.number(),
  lostSteps: z.number(),
  spansS: z.record(z.enum(RECOVERY_SPANS), z.number()).exactOptional(),
});

const rowSchema = z.object({
  runs: z.number(),
  /** Medians; null for a fault that a run survives without a restart. */
  detectedS: z.number().nullable(),
  recoveredS: z.number(),
  lostSteps: z.number(),
  violations: z.number(),
});

const figuresSchema = z.object({
  faults: z.record(z.string(), rowSchema),
  /** Figures of the soak; null if not measured yet. */
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
  outages: z.record(z.string(), z.array(outageSchema).readonly()),
  /** Settings that the figures of a part depend on. */
  notes: z.record(z.string(), z.string()),
});

export type RecoveryFigures = Readonly<z.output<typeof figuresSchema>>;

export const NO_FIGURES: RecoveryFigures = {
  faults: {},
  soak: null,
  fuzz: null,
  costOfFaultFree: null,
  outages: {},
  notes: {},
};

const FILE = 'recovery.json';

/**
 * Reads the figures in a folder, to be extended; empty if there are none or if they are from another machine,
 * as figures of two machines are not comparable.
 *
 * @throws TrainerError `BAD_INPUT` if the file holds something else
 */
export function readFigures(out: string, machine: string): RecoveryFigures {
  const file = path.join(out, FILE);
  if (!existsSync(file)) return NO_FIGURES;
  try {
    const found = figuresSchema.extend({ machine: z.string() }).parse(JSON.parse(readFileSync(file, 'utf8')));
    return found.machine === machine ? found : NO_FIGURES;
  } catch (error) {
    throw new TrainerError(
      'BAD_INPUT',
      `${file}: no figures of bench recovery; remove it`,
      {},
      { cause: error },
    );
  }
}

export function writeRecovery(figures: RecoveryFigures, machine: string, out: string): void {
  writeFileSync(path.join(out, FILE), `${JSON.stringify({ ...figures, machine }, null, 1)}\n`);
}

/** Replaces the figures of a part. */
export function addResult(
  figures: RecoveryFigures,
  part: string,
  { fault, soak, fuzz, costOfFaultFree, notes }: PartResult,
): RecoveryFigures {
  return {
    ...figures,
    ...(fault !== undefined && {
      faults: { ...figures.faults, [part]: rowOf(fault.outages, fault.violations.length) },
      outages: { ...figures.outages, [part]: fault.outages },
    }),
    ...(soak !== undefined && { soak: { ...soak, violations: soak.violations.length } }),
    ...(fuzz !== undefined && { fuzz: { ...fuzz, failures: fuzz.failures.length } }),
    ...(costOfFaultFree !== undefined && { costOfFaultFree }),
    notes: { ...figures.notes, [part]: notes },
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

function round(seconds: number): number {
  return Math.round(100 * seconds) / 100;
}

/** Returns a header and a row for each fault: median, 90th percentile and worst of its outages. */
export function faultTable({ faults, outages: all }: RecoveryFigures): string[][] {
  const rows = Object.entries(faults).map(([name, { runs, violations }]) => {
    const outages = all[name] ?? [];
    const of = (measure: (outage: Outage) => number | null, digits: number) =>
      distribution(
        outages.flatMap((outage) => measure(outage) ?? []),
        digits,
      );
    return [
      name,
      String(runs),
      of(({ detectedS }) => detectedS, 2),
      of(({ recoveredS }) => recoveredS, 2),
      of(({ lostSteps }) => lostSteps, 0),
      String(violations),
    ];
  });
  return [
    ['fault', 'times', 'known after, s', 'first new step after, s', 'steps done again', 'invariants broken'],
    ...rows,
  ];
}

/** Returns the faults in a header, and a row with the median of each span of their recoveries; empty if none is measured. */
export function billTable({ outages }: RecoveryFigures): string[][] {
  const faults = Object.entries(outages).flatMap(([name, all]) => {
    const bills = all.flatMap(({ spansS }) => spansS ?? []);
    return bills.length === 0 ? [] : [{ name, bills }];
  });
  if (faults.length === 0) return [];
  const row = (name: string, of: (bill: NonNullable<Outage['spansS']>) => number) => [
    name,
    ...faults.map(({ bills }) => median(bills.map(of)).toFixed(2)),
  ];
  return [
    ['of the slowest rank, s', ...faults.map(({ name }) => name)],
    ...RECOVERY_SPANS.map((span) => row(span, (bill) => bill[span])),
    row('in all', (bill) => sum(Object.values(bill))),
  ];
}

function distribution(values: readonly number[], digits: number): string {
  if (values.length === 0) return '-';
  return [median(values), quantile(values, 0.9), Math.max(...values)]
    .map((value) => value.toFixed(digits))
    .join(' / ');
}

/** Returns a name and a sentence for each part beside the faults. */
export function otherRows({ soak, fuzz, costOfFaultFree }: RecoveryFigures): string[][] {
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  return [
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
}
