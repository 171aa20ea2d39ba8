import { type Spread, spreadOf } from '../statistics.js';
import { type Cell, cellId } from './models.js';
import type { Program, StepRun } from './step-run.js';

/** What the programs did in one turn of a cell. */
export interface TurnResult {
  readonly cell: Cell;
  readonly steps: number;
  readonly runs: Readonly<Partial<Record<Program, StepRun>>>;
  /** Between the losses of ours and the peer's, step by step, in nats. */
  readonly greatestDifference: number;
}

export type FigureOf = (run: StepRun) => number;

/** All turns that were made, and what they say when held against each other. */
export class Results {
  constructor(readonly turns: readonly TurnResult[]) {}

  /** Cells of which there is a turn, in the order of the first one. */
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

  /** A program's figure over another's, of the turns that have both; null if none has. */
  ratio(cell: Cell, program: Program, against: Program, of: FigureOf): Spread | null {
    const ratios = this.turnsOf(cell).flatMap(({ runs }) => {
      const [one, other] = [runs[program], runs[against]];
      return one && other ? [of(one) / of(other)] : [];
    });
    return ratios.length === 0 ? null : spreadOf(ratios);
  }
}
