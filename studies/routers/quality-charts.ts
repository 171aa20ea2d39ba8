import { type Picture, picture } from '../kit/picture.js';
import { routerColour, routerDash } from './chart-style.js';
import { type Comparison, medianCurve } from './comparison.js';
import type { Findings } from './figures.js';
import { CONTROLS, type Control, controlLine } from './frontier.js';
import { FRONTIER_SEED } from './jobs.js';
import { labelOf, VARIANTS, type VariantId } from './variants.js';

const SIZE = { width: 520, height: 320 };
const PERPLEXITY = {
  field: 'perplexity',
  type: 'quantitative',
  title: 'perplexity (log scale)',
  scale: { type: 'log', nice: false },
};

/** Thick: the median of the seeds; thin: each of them. */
export function perplexityChart({ quality }: Comparison): Picture | null {
  const shown = quality.variants.filter((variant) => !VARIANTS[variant].validatedWithDrops);
  const left = quality.variants.filter((variant) => VARIANTS[variant].validatedWithDrops);
  const rows = shown.flatMap((variant) => {
    const runs = quality.of(variant);
    const million = runs[0]!.figures.tokensPerStep / 1e6;
    const router = labelOf(variant);
    const ofSeeds = runs.flatMap(({ seed, figures }) =>
      figures.validations.map(({ step, perplexity }) => ({
        router,
        run: `${router} ${seed}`,
        kind: 'seed',
        tokens: step * million,
        perplexity,
      })),
    );
    const medians = medianCurve(
      runs.map(({ figures }) => figures.validations),
      (point) => point.perplexity,
    );
    return [
      ...ofSeeds,
      ...medians.map(({ step, value }) => ({
        router,
        run: router,
        kind: 'median',
        tokens: step * million,
        perplexity: value,
      })),
    ];
  });
  return picture(
    'perplexity',
    'Validation perplexity over the tokens trained on',
    [
      'Over the validation text of all domains; thick: median of the seeds, thin: each.',
      ...(left.length === 0
        ? []
        : [
            `Without ${left.map(labelOf).join(' and ')}, which are validated with their drops at the end alone.`,
          ]),
    ],
    rows,
    {
      ...SIZE,
      mark: { type: 'line' },
      encoding: {
        x: { field: 'tokens', type: 'quantitative', title: 'million tokens', scale: { nice: false } },
        y: PERPLEXITY,
        detail: { field: 'run', type: 'nominal' },
        strokeWidth: {
          field: 'kind',
          type: 'ordinal',
          legend: null,
          scale: { domain: ['median', 'seed'], range: [2.5, 0.7] },
        },
        color: routerColour(shown),
        strokeDash: routerDash(shown),
      },
    },
  );
}

/** Perplexity over tokens per expert: a line for each router, the controls dashed. */
export function frontierChart({ frontier }: Findings): Picture | null {
  const controls = (Object.keys(CONTROLS) as Control[]).flatMap((control) => {
    const router: VariantId = CONTROLS[control][0];
    if (!frontier.some((point) => point.router === router)) return [];
    // Its end, where nothing is dropped, is another router's point.
    return controlLine(frontier, control).map((point) => ({ ...point, router }));
  });
  const isControl = (router: VariantId) => controls.some((point) => point.router === router);
  const points = [...frontier.filter(({ router }) => !isControl(router)), ...controls];
  const variants = [...new Set(points.map(({ router }) => router))];
  return picture(
    'frontier',
    'The price of fewer tokens for an expert',
    [
      `Perplexity over the tokens that an expert works on in a step, mean over the training; seed ${FRONTIER_SEED}, several capacities of each router.`,
      'Validated with about as many tokens for an expert as in training. Dashed: ablations, and controls that choose tokens by nothing.',
    ],
    points.map(({ router, tokensPerExpert, perplexity }) => ({
      router: labelOf(router),
      tokensPerExpert,
      perplexity,
    })),
    {
      ...SIZE,
      mark: { type: 'line', point: true, strokeWidth: 2 },
      encoding: {
        // The outermost points would lie on the frame.
        x: {
          field: 'tokensPerExpert',
          type: 'quantitative',
          title: 'tokens per expert and step',
          scale: { zero: false, nice: false, padding: 12 },
        },
        y: { ...PERPLEXITY, scale: { ...PERPLEXITY.scale, padding: 12 } },
        order: { field: 'tokensPerExpert' },
        color: routerColour(variants),
        strokeDash: routerDash(variants),
      },
    },
  );
}
