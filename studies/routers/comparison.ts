import type { RunFigures } from '../../packages/bench/src/routers/run-figures.js';
import { median, type Spread, spreadOf } from '../../packages/bench/src/statistics.js';
import type { ByRule } from './by-rule.js';
import type { Pair } from './equivalence.js';
import { type Cell, FRONTIER_SEED, type Job } from './jobs.js';
import type { ProbeResult } from './probe.js';
import { VARIANT_IDS, type VariantId } from './variants.js';

export interface RunResult extends Job {
  readonly figures: RunFigures;
  /** Figures of the last checkpoint; null for runs that measure time alone. */
  readonly byRule: ByRule | null;
  /** Probed runs only. */
  readonly probe: ProbeResult | null;
}

/** A figure of a run; null where a run does not have it. */
export type FigureOf = (run: RunResult) => number | null;

/** Runs that differ in router and seed alone. */
export class RunSet {
  constructor(readonly runs: readonly RunResult[]) {}

  /** Routers with a run, in report order. */
  get variants(): VariantId[] {
    return VARIANT_IDS.filter((id) => this.runs.some(({ variant }) => variant === id));
  }

  of(variant: VariantId): RunResult[] {
    return this.runs.filter((run) => run.variant === variant);
  }

  /** A figure of a router over seeds; null if no run has it. */
  spread(variant: VariantId, of: FigureOf): Spread | null {
    const values = this.of(variant).flatMap((run) => of(run) ?? []);
    return values.length === 0 ? null : spreadOf(values);
  }

  /** A figure of two routers, by seeds that both have. */
  pairs(variant: VariantId, against: VariantId, of: FigureOf): Pair[] {
    const others = new Map(this.of(against).map((run) => [run.seed, of(run)]));
    return this.of(variant).flatMap((run) => {
      const [own, other] = [of(run), others.get(run.seed) ?? null];
      return own === null || other === null ? [] : [{ own, other }];
    });
  }

  /**
   * Relative difference of a router to another: -0.22 is 22 % less. Runs of the same seed are paired: they ran right after each
   * other on the same text. Null if no seed has both.
   */
  ratio(variant: VariantId, against: VariantId, of: FigureOf): Spread | null {
    const ratios = this.pairs(variant, against, of).map(({ own, other }) => own / other - 1);
    return ratios.length === 0 ? null : spreadOf(ratios);
  }
}

/** All finished runs, by what they are for. */
export class Comparison {
  /** Runs at each router's own capacity, in one cell. */
  readonly quality: RunSet;
  /** Runs at every capacity, with the one seed that has them. */
  readonly frontier: readonly RunResult[];
  readonly #timed: readonly RunResult[];

  constructor(readonly results: readonly RunResult[]) {
    const [first, ...others] = results.filter(({ kind }) => kind !== 'time');
    // Quick runs are there for every cell: in another one the same seed is another run.
    const quality = first === undefined ? [] : [first, ...others.filter((run) => isInCell(run, first))];
    this.quality = new RunSet(quality.filter(({ capacity }) => capacity === null));
    this.frontier = quality.filter(({ seed }) => seed === FRONTIER_SEED);
    this.#timed = results.filter(({ kind }) => kind !== 'quality');
  }

  /** Cells with time runs, in the order of the runs. */
  get cells(): Cell[] {
    const seen = new Map(
      this.#timed.map(({ layout, placement }) => [`${layout}/${placement}`, { layout, placement }]),
    );
    return [...seen.values()];
  }

  in({ layout, placement }: Cell): RunSet {
    return new RunSet(this.#timed.filter((run) => isInCell(run, { layout, placement })));
  }
}

function isInCell(run: Cell, { layout, placement }: Cell): boolean {
  return run.layout === layout && run.placement === placement;
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
