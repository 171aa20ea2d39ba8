import { type Spread, withSpread } from '@locmoe/bench/internal/statistics';
import { isPeer, PROGRAM_LABELS } from '@locmoe/bench/internal/step/step-run';
import { TORCH_SETTINGS } from '@locmoe/bench/internal/step/torch-peer';
import { TOLERANCE } from '@locmoe/bench/internal/step/verify';
import { TrainerError } from 'locmoe/internal/errors';
import { formatCount } from 'locmoe/internal/format';
import type { Report } from '../kit/report.js';
import { percent, table } from '../kit/text.js';
import { cellId, HEADLINE_LAYOUT, isHeadline, MODELS, numRanks, SWEEPS } from './cells.js';
import { type CellFigures, labelOfPart, PARTS, programsIn } from './figures.js';
import type { MachineFigures } from './history.js';
import { partsChart, ranksChart, sizesChart } from './pictures.js';

/** @param machines machines as sorted by `readMachines`, at least one: the first is shown in the tables and pictures */
export function reportOf(machines: readonly MachineFigures[]): Report {
  const [shown] = machines;
  if (shown === undefined) throw new TrainerError('BAD_INPUT', '--report: no machine has been measured yet');
  const { cells, peer, recipe, sgemmFlopsPerS } = shown;
  const sweeps = cells.filter(({ cell }) => cell.sweep !== null);
  return {
    view: {
      processors: processorTable(machines),
      torch: peer.version,
      python: peer.python,
      recipe,
      gflops: (sgemmFlopsPerS / 1e9).toFixed(0),
      tolerance: TOLERANCE.float32,
      toleranceBfloat16: TOLERANCE.bfloat16,
      agreement: table([
        ['cell', 'turns', 'steps compared', 'greatest difference (nats)', 'in bfloat16'],
        ...cells.map(({ cell, turns, steps, ...greatest }) => [
          cellId(cell),
          String(turns),
          String(steps),
          greatest.greatestDifference.toExponential(1),
          cell.sweep === null ? greatest.greatestDifferenceBfloat16.toExponential(1) : '',
        ]),
      ]),
      models: MODELS.flatMap((model) => {
        const own = cells.filter(({ cell }) => cell.model === model && cell.sweep === null);
        const headline = own.find(({ cell }) => isHeadline(cell));
        const [first] = own;
        if (first === undefined) return [];
        const parts = headline === undefined ? null : { partsTable: partsTable(headline) };
        return [{ model, ...first.sizes, speed: speedTable(own), parts }];
      }),
      layout: HEADLINE_LAYOUT,
      sweeps: sweeps.length === 0 ? null : { sweepTable: sweepTable(sweeps) },
      ranks: Math.max(...cells.map(({ cell }) => numRanks(cell.layout))),
      settings: Object.entries(TORCH_SETTINGS)
        .map(([name, value]) => `\`${name}=${value}\``)
        .join(', '),
    },
    pictures: [ranksChart(cells), partsChart(cells), sizesChart(cells)],
  };
}

/** Returns the throughput relative to PyTorch's, in float32 and bfloat16, on each processor. */
function processorTable(machines: readonly MachineFigures[]): string {
  const ids = machines.flatMap(({ cells }) => cells.filter(({ cell }) => cell.sweep === null));
  const columns = [...new Set(ids.map(({ cell }) => cellId(cell)))];
  return table([
    [
      'processor',
      'measured',
      'vectors',
      'caches',
      'OpenBLAS kernels of PyTorch',
      'products (GFLOP/s)',
      ...columns,
    ],
    ...machines.map(({ processor: { name, numbers, vectors, caches }, measuredAt, ...of }) => [
      numbers === null ? name : `${name} ${numbers}`,
      measuredAt.slice(0, 10),
      vectors.join(', '),
      caches?.join(', ') ?? 'not recorded',
      of.peer.kernels ?? 'not known',
      (of.sgemmFlopsPerS / 1e9).toFixed(0),
      ...columns.map((id) => {
        const programs = of.cells.find(({ cell }) => cellId(cell) === id)?.programs;
        const ratios = [programs?.own, programs?.['own-bfloat16']].flatMap(
          (program) => program?.tokensPerSVsPeer ?? [],
        );
        return ratios.map(({ median }) => times(median)).join(', ');
      }),
    ]),
  ]);
}

function speedTable(cells: readonly CellFigures[]): string {
  return table([
    [
      'nodes x workers',
      'program',
      'tokens/s',
      'of PyTorch',
      'step (ms)',
      'choices kept',
      'share of the limit',
      'peak memory (MB)',
      'of PyTorch',
    ],
    ...cells.flatMap((figures) =>
      programsIn(figures).map(([program, of]) => [
        figures.cell.layout,
        PROGRAM_LABELS[program],
        text(of.tokensPerS, formatCount),
        text(of.tokensPerSVsPeer, times),
        text(of.stepMs, milliseconds),
        text(of.keptPerToken, (choices) => choices.toFixed(2)),
        text(of.shareOfLimit, percent),
        text(of.peakBytes, (bytes) => milliseconds(bytes / 1e6)),
        text(of.peakVsPeer, times),
      ]),
    ),
  ]);
}

function partsTable(figures: CellFigures): string {
  return table([
    [
      'program',
      ...PARTS.map(labelOfPart),
      'garbage collection',
      'share of the optimizer',
      'share of communication',
    ],
    ...programsIn(figures).map(([program, of]) => [
      PROGRAM_LABELS[program],
      ...PARTS.map((part) =>
        isPeer(program) && part === 'waiting' ? '' : text(of.partsMs[part], milliseconds),
      ),
      text(of.gcMs, (ms) => ms.toFixed(1)),
      text(of.optimizerShare, percent),
      text(of.communicationShare, percent),
    ]),
  ]);
}

function sweepTable(cells: readonly CellFigures[]): string {
  return table([
    ['what', 'is', 'locmoe, step (ms)', 'PyTorch, step (ms)', 'tokens/s of PyTorch'],
    ...SWEEPS.flatMap((of) =>
      cells
        .filter(({ cell }) => cell.sweep?.of === of)
        .map(({ sizes, programs: { own, peer } }) => [
          of,
          String(sizes[of]),
          text(own?.stepMs, milliseconds),
          text(peer?.stepMs, milliseconds),
          text(own?.tokensPerSVsPeer, times),
        ]),
    ),
  ]);
}

function text(spread: Spread | null | undefined, format: (value: number) => string): string {
  return spread ? withSpread(spread, format) : '';
}

function milliseconds(value: number): string {
  return value.toFixed(value < 10 ? 1 : 0);
}

function times(ratio: number): string {
  return `${ratio.toFixed(2)}x`;
}
