import type { Chart } from '../picture.js';
import { picture } from '../picture.js';
import { median } from '../statistics.js';
import type { Line, SeedResult } from './results.js';

/** Colour-blind safe (Okabe and Ito), by line. */
const COLOURS: Readonly<Record<string, string>> = {
  inherited: '#d55e00',
  'from scratch': '#0072b2',
  'dense model': '#000000',
};

interface LossChartOptions {
  readonly name: string;
  readonly title: string;
  readonly caption: string;
  /** By label. */
  readonly lines: Readonly<Record<string, Line>>;
  readonly results: readonly SeedResult[];
  readonly tokensPerStep: number;
}

/** Losses over tokens: a thick line for the median of the seeds, a thin one for each. */
export function lossChart({ name, title, caption, lines, results, tokensPerStep }: LossChartOptions): Chart {
  const rows = Object.entries(lines).flatMap(([label, line]) => {
    const curves = results.map(line);
    const point = (step: number, loss: number) => ({ label, tokens: (step * tokensPerStep) / 1e6, loss });
    const ofSeeds = curves.flatMap((curve, i) =>
      curve.map(({ step, loss }) => ({ ...point(step, loss), run: `${label} ${i}`, kind: 'seed' })),
    );
    const medians = curves[0]!.map(({ step }, i) => ({
      ...point(step, median(curves.map((curve) => curve[i]!.loss))),
      run: label,
      kind: 'median',
    }));
    return [...ofSeeds, ...medians];
  });
  const labels = Object.keys(lines);
  return picture(name, title, [caption], rows, {
    width: 520,
    height: 300,
    mark: { type: 'line' },
    encoding: {
      x: { field: 'tokens', type: 'quantitative', title: 'million tokens', scale: { nice: false } },
      y: {
        field: 'loss',
        type: 'quantitative',
        title: 'validation loss (nats per token)',
        scale: { zero: false },
      },
      detail: { field: 'run', type: 'nominal' },
      strokeWidth: {
        field: 'kind',
        type: 'ordinal',
        sort: ['median', 'seed'],
        legend: null,
        scale: { domain: ['median', 'seed'], range: [2.5, 0.7] },
      },
      color: {
        field: 'label',
        type: 'nominal',
        title: null,
        scale: { domain: labels, range: labels.map((label) => COLOURS[label]) },
      },
    },
  })!;
}
