import { type Chart, type ChartBody, picture } from '../picture.js';
import { routerAxis } from '../routers/chart-style.js';
import { labelOf } from '../routers/variants.js';
import type { Measure } from './answers.js';
import type { MeasureFigures, RouterFigures } from './figures.js';
import { taskLabel } from './words.js';

/** Colour-blind safe (Okabe and Ito), by phase. */
const COLOURS = { before: '#56b4e9', after: '#d55e00' } as const;
const PHASES = Object.keys(COLOURS) as (keyof typeof COLOURS)[];

export function drawCharts(figures: readonly MeasureFigures[]): Chart[] {
  const ofMeasures = (...measures: Measure[]) => figures.filter(({ measure }) => measures.includes(measure));
  return [
    scoreChart(
      'scores',
      'Right answers before and after fine-tuning',
      'Share of the questions; grey: chance.',
      ofMeasures('continuation', 'letter'),
      { title: 'right answers', axis: { format: '%' } },
    ),
    scoreChart(
      'likelihoods',
      'How likely the right answer is before and after fine-tuning',
      'Log-likelihood in nats per character, in the cloze per token; further to the right is likelier.',
      ofMeasures('likelihood'),
      { title: 'nats' },
    ),
  ].flatMap((chart) => chart ?? []);
}

/** A panel for each task: points with their standard errors. */
function scoreChart(
  name: string,
  title: string,
  caption: string,
  figures: readonly MeasureFigures[],
  axis: ChartBody,
): Chart | null {
  const rows = figures.flatMap((each) =>
    each.routers.flatMap((router) =>
      PHASES.map((phase) => ({
        task: taskLabel(each),
        router: labelOf(router.router),
        phase,
        ...(each.measure !== 'likelihood' && { chance: each.chance }),
        ...pointOf(router, phase),
      })),
    ),
  );
  const x = { type: 'quantitative', scale: { zero: false }, ...axis };
  return picture(
    name,
    title,
    [caption, 'Mean of the questions and seeds with its standard error by question.'],
    rows,
    {
      facet: { field: 'task', type: 'nominal', sort: null },
      columns: 2,
      resolve: { scale: { x: 'independent' }, axis: { y: 'independent' } },
      spec: {
        width: 300,
        height: { step: 24 },
        encoding: {
          y: routerAxis(),
          color: {
            field: 'phase',
            type: 'nominal',
            title: null,
            scale: { domain: PHASES, range: PHASES.map((phase) => COLOURS[phase]) },
          },
        },
        layer: [
          { mark: { type: 'point', filled: true, size: 70 }, encoding: { x: { field: 'value', ...x } } },
          {
            mark: { type: 'rule', strokeWidth: 2 },
            encoding: { x: { field: 'low', ...x }, x2: { field: 'high' } },
          },
          ...(rows.some((row) => 'chance' in row)
            ? [
                {
                  mark: { type: 'tick', thickness: 2 },
                  encoding: { x: { field: 'chance', ...x }, color: { value: '#777777' } },
                },
              ]
            : []),
        ],
      },
    },
  );
}

function pointOf(figures: RouterFigures, phase: keyof typeof COLOURS): Readonly<Record<string, number>> {
  const { value, stderr } = figures[phase];
  return { value, low: value - (stderr ?? 0), high: value + (stderr ?? 0) };
}
