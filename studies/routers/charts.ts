import { ROUTER_NAMES } from 'locmoe/internal/routing/index';
import type { StepComposition } from '../../packages/bench/src/routers/run-figures.js';
import { mean, median } from '../../packages/bench/src/statistics.js';
import { COLOURS, type Picture, picturesOf } from '../kit/picture.js';
import { type Comparison, medianCurve, type RunResult, type RunSet } from './comparison.js';
import { cumulativeLoad } from './distributions.js';
import type { Findings } from './figures.js';
import { CONTROLS, type Control, controlLine } from './frontier.js';
import { type Cell, FRONTIER_SEED } from './jobs.js';
import { COSINE_KINDS } from './probe.js';
import { labelOf, VARIANT_IDS, VARIANTS, type VariantId } from './variants.js';

/** Ablations and controls are also dashed. */
const COLOUR_OF: Readonly<Partial<Record<VariantId, string>>> = {
  hash: COLOURS.black,
  switch: COLOURS.blue,
  locmoe: COLOURS.green,
  'locmoe-plus': COLOURS.vermilion,
  'locmoe-plus-tcr': COLOURS.purple,
  'locmoe-plus-ecr': COLOURS.orange,
  moge: COLOURS.sky,
  'locmoe-plus-random': COLOURS.yellow,
  'hash-first-come': '#999999',
};
/** Assigned in order to routers without a colour of their own. */
const OTHER_COLOURS = ['#882255', '#44aa99', '#999933'];

export function colourOf(variant: VariantId): string {
  return COLOUR_OF[variant] ?? OTHER_COLOURS[VARIANT_IDS.indexOf(variant) % OTHER_COLOURS.length]!;
}

export function cellLabel({ layout, placement }: Cell): string {
  const [nodes, workers] = layout.split('x');
  return `${nodes} nodes x ${workers} worker${workers === '1' ? '' : 's'}, placement ${placement}`;
}

const picture = picturesOf('routers');

/** Values of every picture: the routers that appear in it, in report order, and all. */
function valuesOf(variants: readonly VariantId[]) {
  const shown = VARIANT_IDS.filter((variant) => variants.includes(variant));
  return {
    routers: shown.map(labelOf),
    colours: shown.map(colourOf),
    dashes: shown.map((variant) => (ROUTER_NAMES.some((name) => name === variant) ? [1, 0] : [5, 3])),
    all: VARIANT_IDS.map(labelOf),
    allColours: VARIANT_IDS.map(colourOf),
  };
}

export function chartsOf(comparison: Comparison, { frontier }: Findings): (Picture | null)[] {
  const { quality } = comparison;
  const values = valuesOf(quality.variants);
  return [
    perplexityChart(quality),
    frontierChart(frontier),
    stepTimeChart(comparison),
    picture('step-composition', compositionRows(comparison), values),
    picture(
      'tokens-per-expert',
      lines(
        quality,
        ({ figures }) => figures.curve,
        (point) => point.tokensPerExpert,
      ),
      values,
    ),
    picture(
      'local-share',
      rowsByCell(comparison, (runs, variant) => [runs.spread(variant, ({ figures }) => figures.localShare)]),
      values,
    ),
    loadChart(quality),
    picture(
      'cosines',
      quality.runs.flatMap(({ variant, probe }) =>
        COSINE_KINDS.flatMap((kind) =>
          (probe?.cosines[kind] ?? []).map((bin) => ({ router: labelOf(variant), kind, ...bin })),
        ),
      ),
      values,
    ),
    picture(
      'calinski-harabasz',
      lines(
        quality,
        ({ probe }) => probe?.calinskiHarabasz ?? [],
        (point) => point.index,
      ),
      values,
    ),
    picture(
      'stayed-with-expert',
      lines(
        quality,
        ({ probe }) => probe?.stayed ?? [],
        (point) => point.share,
      ),
      values,
    ),
  ];
}

function perplexityChart(quality: RunSet): Picture | null {
  const [shown, dropping] = [false, true].map((isDropping) =>
    quality.variants.filter((variant) => (VARIANTS[variant].validatedWithDrops ?? false) === isDropping),
  ) as [VariantId[], VariantId[]];
  const rows = shown.flatMap((variant) => {
    const runs = quality.of(variant);
    const router = labelOf(variant);
    const million = runs[0]!.figures.tokensPerStep / 1e6;
    const point = (run: string, kind: string, step: number, perplexity: number) => ({
      router,
      run,
      kind,
      tokens: step * million,
      perplexity,
    });
    const medians = medianCurve(
      runs.map(({ figures }) => figures.validations),
      ({ perplexity }) => perplexity,
    );
    return [
      ...runs.flatMap(({ seed, figures }) =>
        figures.validations.map(({ step, perplexity }) =>
          point(`${router} ${seed}`, 'seed', step, perplexity),
        ),
      ),
      ...medians.map(({ step, value }) => point(router, 'median', step, value)),
    ];
  });
  return picture('perplexity', rows, valuesOf(shown), { dropping: dropping.map(labelOf).join(' and ') });
}

function frontierChart(frontier: Findings['frontier']): Picture | null {
  const controls = (Object.keys(CONTROLS) as Control[]).flatMap((control) => {
    const router: VariantId = CONTROLS[control][0];
    if (!frontier.some((point) => point.router === router)) return [];
    // Its end, where nothing is dropped, is another router's point.
    return controlLine(frontier, control).map((point) => ({ ...point, router }));
  });
  const isControl = (router: VariantId) => controls.some((point) => point.router === router);
  const points = [...frontier.filter(({ router }) => !isControl(router)), ...controls];
  const rows = points.map(({ router, tokensPerExpert, perplexity }) => ({
    router: labelOf(router),
    tokensPerExpert,
    perplexity,
  }));
  return picture('frontier', rows, valuesOf(points.map(({ router }) => router)), { seed: FRONTIER_SEED });
}

function rowsByCell(
  comparison: Comparison,
  rowsOf: (runs: RunSet, variant: VariantId) => readonly (object | null)[],
) {
  return comparison.cells.flatMap((cell) => {
    const runs = comparison.in(cell);
    return runs.variants.flatMap((variant) =>
      rowsOf(runs, variant).map((row) => ({ cell: cellLabel(cell), router: labelOf(variant), ...row })),
    );
  });
}

function stepTimeChart(comparison: Comparison): Picture | null {
  const spreads: number[] = [];
  const rows = rowsByCell(comparison, (runs, variant) => {
    const spread = runs.spread(variant, ({ figures }) => figures.stepMs.median);
    spreads.push(spread?.most ?? Number.NaN);
    return [spread];
  });
  return picture('step-time', rows, { ...valuesOf([]), domain: [0, 1.15 * Math.max(...spreads)] });
}

const COMPOSITION_LABELS: Readonly<Record<keyof StepComposition, string>> = {
  computation: 'computation',
  communication: 'communication (copying)',
  waitingInAllToAll: 'waiting in all-to-all',
  waitingElsewhere: 'waiting elsewhere',
  other: 'other',
};

function compositionRows(comparison: Comparison) {
  const parts = Object.keys(COMPOSITION_LABELS) as (keyof StepComposition)[];
  return rowsByCell(comparison, (runs, variant) =>
    parts.map((part, order) => ({
      part: COMPOSITION_LABELS[part],
      order,
      ms: median(runs.of(variant).map(({ figures }) => figures.composition[part])),
    })),
  );
}

/** One line per router: the median over seeds. */
function lines<T extends { readonly step: number }>(
  quality: RunSet,
  curveOf: (run: RunResult) => readonly T[],
  measure: (point: T) => number,
) {
  return quality.variants.flatMap((variant) => {
    const curves = quality.of(variant).map(curveOf);
    return medianCurve(
      curves.filter((curve) => curve.length > 0),
      measure,
    ).map((point) => ({ router: labelOf(variant), ...point }));
  });
}

function loadChart(quality: RunSet): Picture | null {
  const rows = quality.variants.flatMap((variant) => {
    const curves = quality.of(variant).flatMap(({ figures }) => figures.loadByLayer.map(cumulativeLoad));
    return curves[0]!.map((_, i) => ({
      router: labelOf(variant),
      step: i + 1,
      value: mean(curves.map((curve) => curve[i]!)),
    }));
  });
  const numExperts = Math.max(0, ...rows.map(({ step }) => step));
  const even = [1, numExperts].map((step) => ({ step, value: step / numExperts }));
  return picture('expert-load', rows, { ...valuesOf(quality.variants), even, experts: [1, numExperts] });
}
