import { mean } from '../../packages/bench/src/statistics.js';
import { type ChartBody, type Picture, picture, type Rows } from '../kit/picture.js';
import { routerColour, routerDash } from './chart-style.js';
import { type Comparison, medianCurve, type RunResult } from './comparison.js';
import { cumulativeLoad } from './distributions.js';
import { COSINE_KINDS } from './probe.js';
import { labelOf, VARIANT_IDS } from './variants.js';

// Pictures of what the quality runs have learned.

const LINE_SIZE = { width: 520, height: 300 };

/** One line per router: the median over seeds. */
function lines<T extends { readonly step: number }>(
  { quality }: Comparison,
  curveOf: (run: RunResult) => readonly T[],
  measure: (point: T) => number,
): Rows {
  return quality.variants.flatMap((variant) => {
    const curves = quality.of(variant).map(curveOf);
    return medianCurve(
      curves.filter((curve) => curve.length > 0),
      measure,
    ).map((point) => ({ router: labelOf(variant), ...point }));
  });
}

function lineBody({ quality }: Comparison, y: ChartBody, mark: ChartBody = {}): ChartBody {
  const { variants } = quality;
  return {
    ...LINE_SIZE,
    mark: { type: 'line', strokeWidth: 2, ...mark },
    encoding: {
      x: { field: 'step', type: 'quantitative', title: 'training step', scale: { nice: false } },
      y: { field: 'value', type: 'quantitative', ...y },
      color: routerColour(variants),
      strokeDash: routerDash(variants),
    },
  };
}

export function tokensPerExpertChart(comparison: Comparison): Picture | null {
  return picture(
    'tokens-per-expert',
    'Tokens per expert over the training',
    ['Tokens that an expert works on in a step, over all ranks, mean of experts and layers; quality runs.'],
    lines(
      comparison,
      ({ figures }) => figures.curve,
      (point) => point.tokensPerExpert,
    ),
    lineBody(comparison, { title: 'tokens per expert and step', scale: { zero: true } }),
  );
}

export function loadChart(comparison: Comparison): Picture | null {
  const { quality } = comparison;
  const rows = quality.variants.flatMap((variant) => {
    const curves = quality.of(variant).flatMap(({ figures }) => figures.loadByLayer.map(cumulativeLoad));
    return curves[0]!.map((_, i) => ({
      router: labelOf(variant),
      step: i + 1,
      value: mean(curves.map((curve) => curve[i]!)),
    }));
  });
  const numExperts = Math.max(0, ...rows.map(({ step }) => step));
  const body = lineBody(comparison, {}, { point: true });
  return picture(
    'expert-load',
    'Cumulative load of the experts',
    [
      "Share of a layer's tokens that its busiest experts take, in the last quarter of the training, mean of layers and",
      'seeds; quality runs. Grey: an even load.',
    ],
    rows,
    {
      ...LINE_SIZE,
      layer: [
        {
          data: { values: [1, numExperts].map((step) => ({ step, value: step / numExperts })) },
          mark: { type: 'line', color: '#999999', strokeDash: [2, 4] },
        },
        { mark: body.mark, encoding: { color: routerColour(quality.variants) } },
      ],
      encoding: {
        x: {
          field: 'step',
          type: 'quantitative',
          title: 'experts, busiest first',
          axis: { tickMinStep: 1 },
          scale: { domain: [1, numExperts] },
        },
        y: {
          field: 'value',
          type: 'quantitative',
          title: 'cumulative share of the tokens',
          axis: { format: '%' },
          scale: { domain: [0, 1] },
        },
      },
    },
  );
}

export function cosinesChart(comparison: Comparison): Picture | null {
  const rows = comparison.quality.runs
    .filter(({ probe }) => probe !== null)
    .flatMap(({ variant, probe }) =>
      COSINE_KINDS.flatMap((kind) =>
        (probe?.cosines[kind] ?? []).map((bin) => ({ router: labelOf(variant), kind, ...bin })),
      ),
    );
  return picture(
    'cosines',
    'Cosines of tokens with each other and with their gate',
    [
      'Validation tokens before the dispatch, after the layer norm, at the end of the training; all sparse layers together.',
      'First seed; quality runs. A hash router has no gate.',
    ],
    rows,
    {
      facet: { field: 'router', type: 'nominal', sort: VARIANT_IDS.map(labelOf) },
      columns: 2,
      spec: {
        width: 300,
        height: 150,
        mark: { type: 'line', interpolate: 'step' },
        encoding: {
          x: {
            field: 'middle',
            type: 'quantitative',
            title: 'cosine',
            scale: { domain: [-1, 1] },
          },
          y: { field: 'share', type: 'quantitative', title: 'share of pairs', axis: { format: '%' } },
          color: {
            field: 'kind',
            type: 'nominal',
            title: null,
            scale: { domain: [...COSINE_KINDS], range: ['#d55e00', '#0072b2', '#009e73'] },
            legend: { orient: 'bottom' },
          },
        },
      },
      resolve: { axis: { x: 'independent' }, scale: { y: 'independent' } },
    },
  );
}

export function stayedChart(comparison: Comparison): Picture | null {
  return picture(
    'stayed-with-expert',
    'How steadily tokens go to the same expert',
    [
      'Share of the validation tokens that have the expert which they had at the checkpoint before, a sixth of the training',
      'earlier; mean of the sparse layers, first seed; quality runs. Without tokens that had no expert.',
    ],
    lines(
      comparison,
      ({ probe }) => probe?.stayed ?? [],
      (point) => point.share,
    ),
    lineBody(
      comparison,
      { title: 'share of the tokens', axis: { format: '%' }, scale: { domain: [0, 1] } },
      { point: true },
    ),
  );
}

export function clusterIndexChart(comparison: Comparison): Picture | null {
  return picture(
    'calinski-harabasz',
    'How well experts part the tokens',
    [
      'Calinski-Harabasz index of validation tokens by the expert that takes them (scatter between experts over scatter',
      'within), mean of the sparse layers, first seed; quality runs.',
    ],
    lines(
      comparison,
      ({ probe }) => probe?.calinskiHarabasz ?? [],
      (point) => point.index,
    ),
    lineBody(
      comparison,
      {
        title: 'Calinski-Harabasz index (log scale)',
        axis: { tickCount: 5 },
        scale: { type: 'log', nice: false },
      },
      { point: true },
    ),
  );
}
