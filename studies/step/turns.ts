import type { Program } from '@locmoe/bench/internal/step/step-run';
import type { Turn } from '@locmoe/bench/internal/step/turns';
import { lengthSettings } from '@locmoe/bench/internal/step/verify';
import { TrainerError } from 'locmoe/internal/errors';
import {
  type Cell,
  cellId,
  HEADLINE_LAYOUT,
  isHeadline,
  LAYOUTS,
  MODELS,
  type ModelName,
  SWEEPS,
  type Sweep,
  settingsOf,
} from './cells.js';

/** Factors of the sweeps besides 1; twice the width is the medium model. */
const SWEEP_FACTORS: Readonly<Record<Sweep, readonly number[]>> = {
  width: [0.5],
  experts: [0.5, 2],
  sequence: [0.5, 2],
  batch: [0.5, 2],
};

/** Steps of a turn: about ten seconds on two cores for either model. */
const STEPS = { small: 12, medium: 8, sweep: 6 } as const;

export interface Scope {
  readonly cells: readonly Cell[];
  /** Whether locmoe-plus also runs, in the headline cells. */
  readonly withLocmoePlus: boolean;
}

export interface Lengths {
  /** Turns of the headline cells; other layouts have one turn less, sweeps have one. */
  readonly turns: number;
  /** Steps of a timed turn; those of the model if null. */
  readonly steps: number | null;
  readonly verifySteps: number;
}

/** The small model and the overrides of every run. */
export interface Recipe {
  readonly config: string;
  readonly set: readonly string[];
}

/**
 * Restricts the bench to the named models, layouts, sweeps and locmoe-plus. If no word names a model, all
 * models stay; if no word names anything else, everything else stays. Sweeps apply to the small model.
 *
 * @throws TrainerError `BAD_INPUT` naming an unknown word, or if nothing is left
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

/**
 * Returns the turns in execution order: all verifications, then round by round every cell that has turns
 * left. Sizes are swept in float32 only, and the sweeps use no compiled peer.
 *
 * @param here programs that this machine can run
 */
export function planTurns(
  { cells, withLocmoePlus }: Scope,
  lengths: Lengths,
  here: readonly Program[],
  { config, set }: Recipe,
): Turn[] {
  const verified = firstOfModels(cells);
  const turnOf = (cell: Cell, round: number, isVerification: boolean): Turn => {
    const joins = withLocmoePlus && isHeadline(cell) && (round > 0 || lengths.turns === 1);
    const programs: readonly Program[] =
      cell.sweep !== null ? ['own', 'peer'] : [...here, ...(joins ? (['locmoe-plus'] as const) : [])];
    const timed = lengths.steps ?? STEPS[cell.sweep === null ? cell.model : 'sweep'];
    const steps = isVerification ? lengths.verifySteps : timed;
    return {
      name: cellId(cell),
      config,
      sets: [...settingsOf(cell, config, set), ...lengthSettings(steps)],
      steps,
      programs: round % 2 === 0 ? programs : [...programs].reverse(),
      isVerification,
    };
  };
  const rounds = Array.from({ length: lengths.turns }, (_, round) =>
    cells
      .filter((cell) => round < numTurns(cell, lengths.turns) && (round > 0 || !verified.includes(cell)))
      .map((cell) => turnOf(cell, round, false)),
  );
  return [...verified.map((cell) => turnOf(cell, 0, true)), ...rounds.flat()];
}

function numTurns(cell: Cell, turns: number): number {
  if (isHeadline(cell)) return turns;
  return cell.sweep === null ? Math.max(1, turns - 1) : 1;
}

/** Returns the cell in which each model is verified. */
function firstOfModels(cells: readonly Cell[]): Cell[] {
  const first = new Map<ModelName, Cell>();
  for (const cell of cells) if (!first.has(cell.model)) first.set(cell.model, cell);
  return [...first.values()];
}
