import { type Spread, spreadOf } from '../statistics.js';
import { type Cell, cellId } from './models.js';
import type { Program, StepRun } from './step-run.js';

/** Results of the programs in one turn of a cell. */
export interface TurnResult {
  readonly cell: Cell;
  readonly steps: number;
  readonly runs: Readonly<Partial<Record<Program, StepRun>>>;
  /** Maximum difference between our losses and those of the peer, in nats. */
  readonly greatestDifference: number;
}

export type FigureOf = (run: StepRun) => number;

/** All turns and their comparison. */
export class Results {
  constructor(readonly turns: readonly TurnResult[]) {}

  /** Cells with turns, in order of first appearance. */
  get cells(): Cell[] {
    return [...new Map(this.turns.map(({ cell }) => [cellId(cell), cell])).values()];
  }

  turnsOf(cell: Cell): TurnResult[] {
    return this.turns.filter((turn) => cellId(turn.cell) === cellId(cell));
  }

  /** A figure of a program over the turns of a cell; null if there is none. */
  spread(cell: Cell, program: Program, of: FigureOf): Spread | null {
    const values = this.turnsOf(cell).flatMap(({ runs }) => (runs[program] ? [of(runs[program])] : []));
    return values.length === 0 ? null : spreadOf(values);
  }

  /** Ratio of a figure between two programs, over turns that have both; null if none has. */
  ratio(cell: Cell, program: Program, against: Program, of: FigureOf): Spread | null {
    const ratios = this.turnsOf(cell).flatMap(({ runs }) => {
      const [one, other] = [runs[program], runs[against]];
      return one && other ? [of(one) / of(other)] : [];
    });
    return ratios.length === 0 ? null : spreadOf(ratios);
  }
}
