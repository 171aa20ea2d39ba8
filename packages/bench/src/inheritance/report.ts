import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { formatCount } from 'locmoe/internal/format';
import { table, withSpread } from '../markdown.js';
import type { Chart } from '../picture.js';
import { renderSvg } from '../render-svg.js';
import { median, spreadOf } from '../statistics.js';
import { lossChart } from './charts.js';
import type { InheritanceFigures, Line, SeedResult } from './results.js';

/** A point of the comparison: the losses of all seeds there. */
interface Row {
  readonly step: number;
  readonly losses: readonly (readonly number[])[];
}

const LINES = {
  inherited: ({ inherited }: SeedResult) => inherited,
  scratch: ({ scratch }: SeedResult) => scratch,
  dense: ({ dense }: SeedResult) => dense,
};

/**
 * Writes `inheritance.json`, `inheritance.md` and its pictures into the folder `out`.
 *
 * @returns the path of the Markdown file
 */
export async function writeReport(figures: InheritanceFigures, out: string): Promise<string> {
  const { config, ...numbers } = figures;
  writeFileSync(
    path.join(out, 'inheritance.json'),
    `${JSON.stringify({ recipe: config.name, ...numbers }, null, 2)}\n`,
  );
  const charts = chartsOf(figures);
  for (const { name, spec } of charts)
    writeFileSync(path.join(out, `inheritance-${name}.svg`), await renderSvg(spec));
  const file = path.join(out, 'inheritance.md');
  writeFileSync(file, markdownOf(figures, charts));
  return file;
}

/** The inherited curve with the steps of the dense training before it. */
function shifted({ denseSteps }: InheritanceFigures): Line {
  return ({ inherited }) => inherited.map(({ step, loss }) => ({ step: step + denseSteps, loss }));
}

function chartsOf(figures: InheritanceFigures): Chart[] {
  const { results, tokensPerStep, denseSteps } = figures;
  const draw = (name: string, title: string, caption: string, lines: Readonly<Record<string, Line>>) =>
    lossChart({ name, title, caption, lines, results, tokensPerStep });
  // What comes before is the steepest part, beside which the rest would look flat.
  const later =
    (line: Line): Line =>
    (result) =>
      line(result).filter(({ step }) => step >= denseSteps / 2);
  return [
    draw(
      'since-start',
      'Where a dense model is at hand',
      'Validation loss over the tokens of the sparse model alone; each seed and their median.',
      { inherited: LINES.inherited, 'from scratch': LINES.scratch },
    ),
    draw(
      'all-tokens',
      'Where the dense model is trained for it',
      `The same with the ${tokens(denseSteps, tokensPerStep)} tokens of the dense training counted, from the middle of it on.`,
      {
        inherited: shifted(figures),
        'from scratch': later(LINES.scratch),
        'dense model': later(LINES.dense),
      },
    ),
  ];
}

function markdownOf(figures: InheritanceFigures, charts: readonly Chart[]): string {
  const { config, denseSteps, steps, tokensPerStep, results, machine, command } = figures;
  const { model, moe } = config;
  const numSeeds = results.length;
  return [
    '# Inheritance',
    '',
    `A dense model of ${model.numDenseLayers + model.numSparseLayers} layers trains for ${tokens(denseSteps, tokensPerStep)} tokens; then a model`,
    `with ${model.numSparseLayers} sparse layers of ${moe.numExperts} experts (router \`${moe.router}\`) grows from it by \`--inherit\` without noise and trains for`,
    `${tokens(steps, tokensPerStep)} more. Against it: the same sparse model from random weights, and the dense one that trains on. Recipe \`${config.name}\`,`,
    `a constant learning rate, so that a curve can be read at any number of tokens; ${numSeeds} ${numSeeds === 1 ? 'seed' : 'seeds'}. What grows reads the text in an`,
    'order of its own. Validation loss in nats per token over all domains: median of the seeds, least to greatest in brackets.',
    '',
    ...summaryOf(figures),
    '',
    '## Where a dense model is at hand',
    '',
    'Tokens are those of the sparse model alone: what inheritance is worth if the dense training costs nothing.',
    '',
    table([
      ['tokens', 'inherited', 'from scratch', 'difference'],
      ...rowsOf(figures, [LINES.inherited, LINES.scratch], 0).map((row) => cells(row, tokensPerStep)),
    ]),
    '',
    figureOf(charts[0]!),
    '',
    '## Where the dense model is trained for it',
    '',
    'Tokens are those of all training, the dense part included.',
    '',
    table([
      ['tokens', 'inherited', 'from scratch', 'difference', 'dense model'],
      ...rowsOf(figures, [shifted(figures), LINES.scratch, LINES.dense], denseSteps).map((row) =>
        cells(row, tokensPerStep),
      ),
    ]),
    '',
    figureOf(charts[1]!),
    '',
    ...startLines(figures),
    `Made by \`${command}\` on ${machine}.`,
    '',
  ].join('\n');
}

/** What the last rows of the tables say. */
function summaryOf(figures: InheritanceFigures): string[] {
  const { steps, denseSteps, tokensPerStep } = figures;
  const atHand = rowsOf(figures, [LINES.inherited, LINES.scratch], 0).at(-1)!;
  const counted = rowsOf(figures, [shifted(figures), LINES.scratch, LINES.dense], denseSteps).at(-1)!;
  const against = ({ losses }: Row, other: number) => {
    const difference = median(differencesOf(losses[0]!, losses[other]!));
    return `${Math.abs(difference).toFixed(3)} nats ${difference > 0 ? 'above' : 'below'}`;
  };
  return [
    `- Where a dense model is at hand, the model that inherits is after ${tokens(steps, tokensPerStep)} tokens **${against(atHand, 1)}** the one from scratch.`,
    `- Where the dense model is trained for it, it is after ${tokens(steps + denseSteps, tokensPerStep)} tokens in all **${against(counted, 1)}** the one from scratch,`,
    `  and ${against(counted, 2)} the dense model that trains on.`,
  ];
}

function differencesOf(losses: readonly number[], others: readonly number[]): number[] {
  return others.length === 0 ? [] : losses.map((loss, i) => loss - others[i]!);
}

/** Rows at four places of the steps after the inheritance; those that not every run has are left out. */
function rowsOf({ steps, every, results }: InheritanceFigures, lines: readonly Line[], from: number): Row[] {
  const places = [0, 1 / 4, 1 / 2, 1].map((share) => from + Math.round((share * steps) / every) * every);
  return places.map((step) => ({
    step,
    losses: lines.map((line) =>
      results.flatMap((result) => line(result).find((point) => point.step === step)?.loss ?? []),
    ),
  }));
}

/** Tokens, the loss of each line, and after the first two the difference between them, paired by seed. */
function cells({ step, losses }: Row, tokensPerStep: number): string[] {
  const loss = (values: readonly number[]) =>
    values.length === 0 ? '' : withSpread(spreadOf(values), (value) => value.toFixed(3));
  const [first, second, ...others] = losses;
  const differences = differencesOf(first, second);
  const difference =
    differences.length === 0
      ? ''
      : withSpread(spreadOf(differences), (value) => `${value > 0 ? '+' : ''}${value.toFixed(3)}`);
  return [tokens(step, tokensPerStep), loss(first), loss(second), difference, ...others.map(loss)];
}

function startLines({ config, starts, results, denseSteps }: InheritanceFigures): string[] {
  if (starts.length === 0) return [];
  const { numExperts, expertGroups, deviceGroups, choicesPerDeviceGroup } = config.moe;
  const dense = results[0]!.dense.find(({ step }) => step === denseSteps)!.loss;
  return [
    '## Before the first step',
    '',
    `Validation loss of the model that has just inherited, by router, from the dense model of seed 1, whose loss is ${dense.toFixed(3)}.`,
    'Experts are equal, so what counts is the sum of the weights of a token: one with `hash` and with `locmoe-plus`, the probability of',
    `one expert, of the ${numExperts / expertGroups} in a group, with \`switch\` and with \`locmoe\`, and of ${deviceGroups * choicesPerDeviceGroup} of them with \`moge\`.`,
    '',
    table([
      ['router', 'loss', 'above the dense model'],
      ...starts.map(({ router, loss }) => [router, loss.toFixed(3), thousandths(loss - dense)]),
    ]),
    '',
  ];
}

/** As toFixed(3), but no "-0.000". */
function thousandths(value: number): string {
  return (Math.round(1000 * value) / 1000).toFixed(3);
}

function figureOf({ name, title, caption }: Chart): string {
  return `![${title}](inheritance-${name}.svg)\n\n*${title}.* ${caption}`;
}

function tokens(step: number, tokensPerStep: number): string {
  return formatCount(step * tokensPerStep);
}
