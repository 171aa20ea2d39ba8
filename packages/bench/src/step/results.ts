import { type Spread, spreadOf } from '../statistics.js';
import { type Cell, cellId } from './models.js';
import { isPeer, type PeerProgram, PROGRAMS, type Program, type StepRun } from './step-run.js';

/** Results of the programs in one turn of a cell. */
export interface TurnResult {
  readonly cell: Cell;
  readonly steps: number;
  readonly runs: Readonly<Partial<Record<Program, StepRun>>>;
  /** Maximum difference between our losses and those of the peer, in nats. */
  readonly greatestDifference: number;
  /** The same for programs in bfloat16, against the peer in float32; 0 if none ran. */
  readonly greatestDifferenceBfloat16: number;
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

  /** The way to run PyTorch with the most tokens a second, by its median. */
  fastestPeer(cell: Cell): PeerProgram {
    const speed = (program: Program) =>
      this.spread(cell, program, ({ tokensPerS }) => tokensPerS)?.median ?? 0;
    return PROGRAMS.filter(isPeer).reduce((best, each) => (speed(each) > speed(best) ? each : best));
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
