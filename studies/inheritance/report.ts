import type { RunConfig } from 'locmoe/internal/config/schema';
import { formatCount } from 'locmoe/internal/format';
import { median, spreadOf } from '../../packages/bench/src/statistics.js';
import { COLOURS, type Picture, picturesOf } from '../kit/picture.js';
import type { Report } from '../kit/report.js';
import { signed, table, withSpread } from '../kit/text.js';

/** Validation losses by step, from the first validation. */
export type Curve = readonly { readonly step: number; readonly loss: number }[];

export interface SeedResult {
  readonly seed: number;
  /** Dense all the way; at `denseSteps` it is inherited from. */
  readonly dense: Curve;
  /** Steps count from the inheritance; the first point is step 0. */
  readonly inherited: Curve;
  readonly scratch: Curve;
}

export interface Figures {
  readonly recipe: string;
  /** The sparse model. */
  readonly model: Pick<RunConfig['model'], 'numDenseLayers' | 'numSparseLayers'> &
    Pick<
      RunConfig['moe'],
      'router' | 'numExperts' | 'expertGroups' | 'deviceGroups' | 'choicesPerDeviceGroup'
    >;
  readonly results: readonly SeedResult[];
  /** The loss of the model that has inherited, before its first step. */
  readonly starts: readonly { readonly router: string; readonly loss: number }[];
  readonly denseSteps: number;
  readonly steps: number;
  /** Steps between two points of a curve. */
  readonly every: number;
  readonly tokensPerStep: number;
}

/** A curve of each seed, at numbers of tokens. */
type Line = (result: SeedResult) => Curve;

/** A row of a table: the losses of all seeds by line. */
interface Row {
  readonly step: number;
  readonly losses: readonly (readonly number[])[];
}

const INHERITED: Line = ({ inherited }) => inherited;
const SCRATCH: Line = ({ scratch }) => scratch;
const DENSE: Line = ({ dense }) => dense;

export function reportOf(figures: Figures): Report {
  const { recipe, model, denseSteps, steps, tokensPerStep, results, starts } = figures;
  const tokens = (step: number) => formatCount(step * tokensPerStep);
  const counted = countedFrom(denseSteps);
  const atHand = rowsOf(figures, [INHERITED, SCRATCH], 0);
  const trained = rowsOf(figures, [counted, SCRATCH, DENSE], denseSteps);
  const dense = results[0]!.dense.find(({ step }) => step === denseSteps)!.loss;
  return {
    view: {
      recipe,
      layers: model.numDenseLayers + model.numSparseLayers,
      sparseLayers: model.numSparseLayers,
      experts: model.numExperts,
      router: model.router,
      denseTokens: tokens(denseSteps),
      tokens: tokens(steps),
      allTokens: tokens(denseSteps + steps),
      seeds: results.length === 1 ? '1 seed' : `${results.length} seeds`,
      againstScratch: against(atHand.at(-1)!, 1),
      countedAgainstScratch: against(trained.at(-1)!, 1),
      countedAgainstDense: against(trained.at(-1)!, 2),
      atHand: table([
        ['tokens', 'inherited', 'from scratch', 'difference'],
        ...atHand.map((row) => [tokens(row.step), ...cells(row)]),
      ]),
      trained: table([
        ['tokens', 'inherited', 'from scratch', 'difference', 'dense model'],
        ...trained.map((row) => [tokens(row.step), ...cells(row)]),
      ]),
      starts: starts.length > 0 && {
        denseLoss: dense.toFixed(3),
        expertsOfGroup: model.numExperts / model.expertGroups,
        expertChoice: starts.some(({ router }) => router === 'expert-choice'),
        deepseek: starts.some(({ router }) => router === 'deepseek'),
        moge: starts.some(({ router }) => router === 'moge') && {
          choices: model.deviceGroups * model.choicesPerDeviceGroup,
        },
        table: table([
          ['router', 'loss', 'above the dense model'],
          ...starts.map(({ router, loss }) => [router, loss.toFixed(3), thousandths(loss - dense)]),
        ]),
      },
    },
    pictures: [
      lossPicture(figures, 'since-start', [
        ['inherited', COLOURS.vermilion, INHERITED],
        ['from scratch', COLOURS.blue, SCRATCH],
      ]),
      lossPicture(figures, 'all-tokens', [
        ['inherited', COLOURS.vermilion, counted],
        ['from scratch', COLOURS.blue, laterThan(denseSteps / 2, SCRATCH)],
        ['dense model', COLOURS.black, laterThan(denseSteps / 2, DENSE)],
      ]),
    ],
  };
}

/** The inherited curve with the steps of the dense training before it. */
function countedFrom(denseSteps: number): Line {
  return ({ inherited }) => inherited.map(({ step, loss }) => ({ step: step + denseSteps, loss }));
}

/** Leaves out the steepest part of a line, beside which the rest would look flat. */
function laterThan(first: number, line: Line): Line {
  return (result) => line(result).filter(({ step }) => step >= first);
}

/** Rows at four places of the steps after the inheritance; those that not every run has are left out. */
function rowsOf({ steps, every, results }: Figures, lines: readonly Line[], from: number): Row[] {
  const places = [0, 1 / 4, 1 / 2, 1].map((share) => from + Math.round((share * steps) / every) * every);
  return places.map((step) => ({
    step,
    losses: lines.map((line) =>
      results.flatMap((result) => line(result).find((point) => point.step === step)?.loss ?? []),
    ),
  }));
}

/** How far the first line is from another, paired by seed. */
function against({ losses }: Row, other: number): string {
  const difference = median(differencesOf(losses[0]!, losses[other]!));
  return `${Math.abs(difference).toFixed(3)} nats ${difference > 0 ? 'above' : 'below'}`;
}

function differencesOf(losses: readonly number[], others: readonly number[]): number[] {
  return others.length === 0 ? [] : losses.map((loss, i) => loss - others[i]!);
}

/** The loss of each line, and after the first two the difference between them, paired by seed. */
function cells({ losses }: Row): string[] {
  const spread = (values: readonly number[], format: (value: number) => string) =>
    values.length === 0 ? '' : withSpread(spreadOf(values), format);
  const loss = (values: readonly number[]) => spread(values, (value) => value.toFixed(3));
  const [first = [], second = [], ...others] = losses;
  const difference = spread(differencesOf(first, second), (value) => signed(value, 3));
  return [loss(first), loss(second), difference, ...others.map(loss)];
}

/** Formats like toFixed(3), but without "-0.000". */
function thousandths(value: number): string {
  return (Math.round(1000 * value) / 1000).toFixed(3);
}

const picture = picturesOf('inheritance');

/** Losses over tokens, of each seed and their median. */
function lossPicture(
  { results, tokensPerStep, denseSteps }: Figures,
  name: string,
  lines: readonly (readonly [label: string, colour: string, line: Line])[],
): Picture | null {
  const rows = lines.flatMap(([label, , line]) => {
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
  const values = { labels: lines.map(([label]) => label), colours: lines.map(([, colour]) => colour) };
  return picture(name, rows, values, { denseTokens: formatCount(denseSteps * tokensPerStep) });
}
