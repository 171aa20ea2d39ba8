import { TrainerError } from 'locmoe/internal/errors';
import { type Cell, HEADLINE_LAYOUT, LAYOUTS, MODELS, type ModelName, SWEEPS, type Sweep } from './models.js';
import type { Program } from './step-run.js';

/** Factors of the sweeps besides 1; twice the width is the medium model. */
const SWEEP_FACTORS: Readonly<Record<Sweep, readonly number[]>> = {
  width: [0.5],
  experts: [0.5, 2],
  sequence: [0.5, 2],
  batch: [0.5, 2],
};

/** Steps of a turn: about ten seconds on two cores for either model. */
const STEPS = { small: 12, medium: 8, sweep: 6 } as const;

/** The programs run a cell one after the other: ours and PyTorch, in bfloat16 too if no size is swept. */
export interface Turn {
  readonly cell: Cell;
  readonly steps: number;
  /** In execution order, which alternates between turns. */
  readonly programs: readonly Program[];
  /** The first turn of a model, long enough to compare the losses; nothing is timed before. */
  readonly isVerification: boolean;
}

export interface Scope {
  readonly cells: readonly Cell[];
  /** Whether locmoe-plus also runs, in the headline cells. */
  readonly withLocmoePlus: boolean;
}

export interface Lengths {
  /** Turns of the headline cells; other layouts have one less, sweeps one. */
  readonly turns: number;
  /** Steps of a timed turn; those of the model if undefined. */
  readonly steps: number | undefined;
  readonly verifySteps: number;
}

export function isHeadline({ layout, sweep }: Cell): boolean {
  return layout === HEADLINE_LAYOUT && sweep === null;
}

/**
 * Restricts the bench to the named models, layouts, sweeps and locmoe-plus; models and the rest each stay
 * complete if no word names one. Sweeps apply to the small model.
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

/** What this machine can run. */
interface Abilities {
  /** In hardware: elsewhere ours is refused, and PyTorch takes twenty times as long as in float32. */
  readonly bfloat16: boolean;
  /** Ours needs oneDNN for it. */
  readonly ownBfloat16: boolean;
  /** `torch.compile`. */
  readonly peerCompiles: boolean;
}

/** The turns in execution order: all verifications, then round by round every cell with turns left. */
export function planTurns({ cells, withLocmoePlus }: Scope, lengths: Lengths, can: Abilities): Turn[] {
  const verified = firstOfModels(cells);
  const programsOf = (cell: Cell, round: number): readonly Program[] => {
    const joins = withLocmoePlus && isHeadline(cell) && (round > 0 || lengths.turns === 1);
    const programs: readonly Program[] =
      cell.sweep !== null
        ? ['own', 'peer']
        : [
            'own' as const,
            ...(can.ownBfloat16 ? (['own-bfloat16'] as const) : []),
            'peer' as const,
            ...(can.bfloat16 ? (['peer-bfloat16'] as const) : []),
            ...(can.peerCompiles ? (['peer-compiled'] as const) : []),
            ...(joins ? (['locmoe-plus'] as const) : []),
          ];
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

/** The cell in which each model is verified. */
function firstOfModels(cells: readonly Cell[]): Cell[] {
  const first = new Map<ModelName, Cell>();
  for (const cell of cells) if (!first.has(cell.model)) first.set(cell.model, cell);
  return [...first.values()];
}
