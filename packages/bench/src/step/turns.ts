import { TrainerError } from 'locmoe/errors';
import { type Cell, HEADLINE_LAYOUT, LAYOUTS, MODELS, type ModelName, SWEEPS, type Sweep } from './models.js';
import type { Program } from './step-run.js';

/** Multiples of the small model's size at which it is timed besides 1; twice the width is the medium model. */
const SWEEP_FACTORS: Readonly<Record<Sweep, readonly number[]>> = {
  width: [0.5],
  experts: [0.5, 2],
  sequence: [0.5, 2],
  batch: [0.5, 2],
};

/** Steps of a turn, so that a turn of either model takes some ten seconds on two cores. */
const STEPS = { small: 12, medium: 8, sweep: 6 } as const;

/** Both programs train a cell one after the other, and ours with another router besides where that is asked. */
export interface Turn {
  readonly cell: Cell;
  readonly steps: number;
  /** In the order in which they run, which changes from turn to turn. */
  readonly programs: readonly Program[];
  /** The first turn of a model, long enough to tell whether both do the same; nothing else is timed before. */
  readonly isVerification: boolean;
}

export interface Scope {
  readonly cells: readonly Cell[];
  /** Whether locmoe-plus runs too, where the figures of `step.json` come from. */
  readonly withLocmoePlus: boolean;
}

export interface Lengths {
  /** Turns of the cells of `step.json`; other layouts have one less, sweeps one. */
  readonly turns: number;
  /** Of every timed turn; those of the model if undefined. */
  readonly steps: number | undefined;
  readonly verifySteps: number;
}

export function isHeadline({ layout, sweep }: Cell): boolean {
  return layout === HEADLINE_LAYOUT && sweep === null;
}

/**
 * Narrows the bench to the named models, layouts, sweeps and locmoe-plus; of models and of the rest, what nobody names
 * stays whole. Sweeps are of the small model.
 *
 * @throws TrainerError `BAD_INPUT` naming a word that is none of them, or if nothing is left
 */
export function scopeOf(only: readonly string[]): Scope {
  const parts: readonly string[] = [...LAYOUTS, 'locmoe-plus', ...SWEEPS];
  const known: readonly string[] = [...MODELS, ...parts];
  const unknown = only.find((word) => !known.includes(word));
  if (unknown !== undefined)
    throw new TrainerError('BAD_INPUT', `--only ${unknown}: expected one of ${known.join(', ')}`);
  const named = <T extends string>(all: readonly T[]): readonly T[] => {
    const some = all.filter((each) => only.includes(each));
    return some.length > 0 ? some : all;
  };
  const models = named(MODELS);
  const chosen = named(parts);
  const withLocmoePlus = chosen.includes('locmoe-plus');
  const layouts = [...LAYOUTS]
    .reverse()
    .filter((layout) => chosen.includes(layout) || (layout === HEADLINE_LAYOUT && withLocmoePlus));
  const cells = [
    ...layouts.flatMap((layout) => models.map((model): Cell => ({ model, layout, sweep: null }))),
    ...(models.includes('small') ? SWEEPS.filter((of) => chosen.includes(of)) : []).flatMap((of) =>
      SWEEP_FACTORS[of].map(
        (factor): Cell => ({ model: 'small', layout: HEADLINE_LAYOUT, sweep: { of, factor } }),
      ),
    ),
  ];
  if (cells.length === 0)
    throw new TrainerError('BAD_INPUT', `--only ${only.join(',')}: sweeps are of the model small`);
  return { cells, withLocmoePlus };
}

/** The turns in the order in which they are made: all verifications, then round by round every cell that has turns left. */
export function planTurns({ cells, withLocmoePlus }: Scope, lengths: Lengths): Turn[] {
  const verified = firstOfModels(cells);
  const programsOf = (cell: Cell, round: number): readonly Program[] => {
    const joins = withLocmoePlus && isHeadline(cell) && (round > 0 || lengths.turns === 1);
    const programs: readonly Program[] = joins ? ['own', 'peer', 'locmoe-plus'] : ['own', 'peer'];
    return round % 2 === 0 ? programs : [...programs].reverse();
  };
  const rounds = Array.from({ length: lengths.turns }, (_, round) =>
    cells
      .filter((cell) => round < numTurns(cell, lengths.turns) && (round > 0 || !verified.includes(cell)))
      .map((cell) => ({
        cell,
        steps: lengths.steps ?? STEPS[cell.sweep === null ? cell.model : 'sweep'],
        programs: programsOf(cell, round),
        isVerification: false,
      })),
  );
  return [
    ...verified.map((cell) => ({
      cell,
      steps: lengths.verifySteps,
      programs: programsOf(cell, 0),
      isVerification: true,
    })),
    ...rounds.flat(),
  ];
}

function numTurns(cell: Cell, turns: number): number {
  if (isHeadline(cell)) return turns;
  return cell.sweep === null ? Math.max(1, turns - 1) : 1;
}

/** The cell of each model by which it is verified. */
function firstOfModels(cells: readonly Cell[]): Cell[] {
  const first = new Map<ModelName, Cell>();
  for (const cell of cells) if (!first.has(cell.model)) first.set(cell.model, cell);
  return [...first.values()];
}
