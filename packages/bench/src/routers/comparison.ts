import { median, type Spread, spreadOf } from '../statistics.js';
import type { Cell, Job, VariantId } from './jobs.js';
import type { ProbeResult } from './probe.js';
import type { RunFigures } from './run-figures.js';

/** A figure of a run; null where a run does not have it. */
export type FigureOf = (figures: RunFigures) => number | null;

/** One finished run. */
export interface RunResult extends Job {
  readonly figures: RunFigures;
  /** Probed runs only. */
  readonly probe: ProbeResult | null;
}

/** All finished runs and their comparison. */
export class Comparison {
  constructor(readonly results: readonly RunResult[]) {}

  /** Cells with runs, in the order of the runs. */
  get cells(): Cell[] {
    const seen = new Map(
      this.results.map(({ layout, placement }) => [`${layout}/${placement}`, { layout, placement }]),
    );
    return [...seen.values()];
  }

  /** Routers with a run in the cell. */
  variantsIn(cell: Cell): VariantId[] {
    return [...new Set(this.runsIn(cell).map(({ variant }) => variant))];
  }

  runsIn(cell: Cell, variant?: VariantId): RunResult[] {
    return this.results.filter(
      (run) =>
        run.layout === cell.layout &&
        run.placement === cell.placement &&
        (variant === undefined || run.variant === variant),
    );
  }

  /** A figure of a router over seeds; null if no run has it. */
  spread(cell: Cell, variant: VariantId, of: FigureOf): Spread | null {
    const values = this.runsIn(cell, variant).flatMap(({ figures }) => of(figures) ?? []);
    return values.length === 0 ? null : spreadOf(values);
  }

  /**
   * Relative difference of a router to another: -0.22 is 22 % less. Runs of the same seed are paired, as they
   * ran right after each other; null if no seed has both.
   */
  ratio(cell: Cell, variant: VariantId, against: VariantId, of: FigureOf): Spread | null {
    const others = new Map(this.runsIn(cell, against).map(({ seed, figures }) => [seed, of(figures)]));
    const ratios = this.runsIn(cell, variant).flatMap(({ seed, figures }) => {
      const [own, other] = [of(figures), others.get(seed) ?? null];
      return own === null || other === null ? [] : [own / other - 1];
    });
    return ratios.length === 0 ? null : spreadOf(ratios);
  }
}

/** Median over seeds of a curve, at each step. */
export function medianCurve<T extends { readonly step: number }>(
  curves: readonly (readonly T[])[],
  of: (point: T) => number,
): { readonly step: number; readonly value: number }[] {
  return (curves[0] ?? []).map(({ step }, i) => ({
    step,
    value: median(curves.flatMap((curve) => (curve[i] === undefined ? [] : [of(curve[i])]))),
  }));
}
