import type { Spread } from '@locmoe/bench/internal/statistics';
import { PROGRAM_LABELS, PROGRAMS } from '@locmoe/bench/internal/step/step-run';
import { type Picture, picturesOf } from '../kit/picture.js';
import { HEADLINE_LAYOUT, isHeadline, MODELS, numRanks, SWEEPS, type Sweep } from './cells.js';
import { type CellFigures, labelOfPart, PARTS, type ProgramFigures, programsIn } from './figures.js';

const picture = picturesOf('step');
const SWEEP_TITLES: Readonly<Record<Sweep, string>> = {
  width: 'hidden size d',
  experts: 'experts',
  sequence: 'tokens of a sequence',
  batch: 'sequences a rank',
};
const VALUES = {
  models: MODELS,
  both: [PROGRAM_LABELS.own, PROGRAM_LABELS.peer],
  programs: PROGRAMS.map((program) => PROGRAM_LABELS[program]),
  sizes: SWEEPS.map((of) => SWEEP_TITLES[of]),
};

/** Returns one row for each of locmoe and the peer, in float32. */
function rowsOf(
  { programs }: CellFigures,
  place: Readonly<Record<string, unknown>>,
  of: (figures: ProgramFigures) => Spread,
) {
  return (['own', 'peer'] as const).flatMap((program) => {
    const figures = programs[program];
    return figures === undefined ? [] : [{ ...place, program: PROGRAM_LABELS[program], ...of(figures) }];
  });
}

export function ranksChart(all: readonly CellFigures[]): Picture | null {
  const cells = all.filter(({ cell }) => cell.sweep === null);
  if (new Set(cells.map(({ cell }) => cell.layout)).size < 2) return null;
  const rows = cells.flatMap((figures) => {
    const { layout, model } = figures.cell;
    const ranks = numRanks(layout);
    return rowsOf(figures, { model, ranks }, ({ tokensPerS: { median, least, most } }) => ({
      median: median / ranks,
      least: least / ranks,
      most: most / ranks,
    }));
  });
  return picture('ranks', rows, VALUES);
}

export function partsChart(cells: readonly CellFigures[]): Picture | null {
  const rows = cells
    .filter(({ cell }) => isHeadline(cell))
    .flatMap((figures) =>
      programsIn(figures).flatMap(([program, { partsMs }]) =>
        PARTS.map((part, order) => ({
          model: figures.cell.model,
          program: PROGRAM_LABELS[program],
          part: labelOfPart(part),
          order,
          ms: partsMs[part].median,
        })),
      ),
    );
  return picture('parts', rows, VALUES, { layout: HEADLINE_LAYOUT });
}

export function sizesChart(all: readonly CellFigures[]): Picture | null {
  const cells = all.filter(({ cell }) => cell.layout === HEADLINE_LAYOUT);
  if (!cells.some(({ cell }) => cell.sweep !== null)) return null;
  const rows = SWEEPS.flatMap((of) =>
    cells
      // The small model is a point of every sweep, the medium model a point of the width sweep.
      .filter(({ cell: { model, sweep } }) =>
        sweep === null ? model === 'small' || of === 'width' : sweep.of === of,
      )
      .flatMap((figures) =>
        rowsOf(figures, { size: SWEEP_TITLES[of], value: figures.sizes[of] }, ({ stepMs }) => stepMs),
      ),
  );
  return picture('sizes', rows, VALUES);
}
