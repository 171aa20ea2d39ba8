import path from 'node:path';
import { meanLoss, stepFolder } from '@locmoe/run-format';
import { openCheckpoint } from '../checkpoint/checkpoint.js';
import { type Manifest, readManifest } from '../checkpoint/manifest.js';
import type { OpenRun } from '../coordinator/run-view.js';
import type { Dataset } from '../data/dataset.js';
import { MARK } from '../data/template.js';
import { formatCount, formatDuration, formatNumberOf, formatTable, printable, wrapped } from '../format.js';
import type { Inference } from '../inference/inference.js';
import { validationLosses } from '../local/checkpoint-text.js';
import { parameterCounts } from '../model/parameter-counts.js';
import { locmoeCommand } from '../os/command-line.js';
import { expertsOfDomain } from '../routing/index.js';
import { endOf, stopOf } from '../run/run-end.js';
import { progressOfMetrics } from '../run/run-progress.js';
import type { ViewOptions } from './run-lines.js';
import { isGateIdle, meaningOf } from './run-meaning.js';

const PROMPT_TOKENS = 12;
const SAMPLE_TOKENS = 24;
/** Greatest product of tokens and parameters for which a summary computes losses: a few seconds on two cores. */
const MOST_EVALUATED = 4e10;

interface Ending {
  /** Reason of an early stop, after which the summary should end soon; null if the run reached its end. */
  readonly stopped: string | null;
  readonly show: (text: string) => void;
}

/** Prints the summary at the end of a run, and writes it to `summary.json`. */
export async function summarize(
  {
    identity: { config },
    folder,
    disk,
    totals,
    resumedFrom,
  }: Pick<OpenRun, 'identity' | 'folder' | 'disk' | 'totals' | 'resumedFrom'>,
  { dataset, samples, runsDir }: Pick<ViewOptions, 'dataset' | 'samples' | 'runsDir'>,
  { stopped, show }: Ending,
): Promise<void> {
  const { lastValidation, lastCheckpoint, layers, numRestarts, lostSteps, lostS } = totals;
  const { tokens, answerTokens } = totals;
  const checkpoint = lastCheckpoint?.directory;
  const manifest = checkpoint === undefined ? null : readManifest(checkpoint);
  const end = manifest && endOf(config, manifest);
  const best = manifest && bestCheckpoint(folder.checkpoints, manifest);
  const reason = stopped === null ? (end?.reason ?? null) : stopOf(stopped, totals.lastStep, config);
  const asGiven = (place: string) => placeAsGiven(place, runsDir);
  const run = asGiven(folder.directory);
  show(
    `\n${stopped === null ? 'done' : 'stopped'} in ${formatDuration(totals.seconds)}${reason === null ? '' : `: the run ${reason}`}`,
  );
  if (numRestarts > 0)
    show(
      `${formatNumberOf(numRestarts, 'restart')} cost ${formatDuration(lostS)} in all, in it ${formatNumberOf(lostSteps, 'step')} done again (${locmoeCommand(['status', '--run', run])} lists the generations)`,
    );
  if (answerTokens > 0)
    show(
      `${formatCount(tokens)} tokens seen, ${formatCount(answerTokens)} of them in the loss: those of answers`,
    );
  if (stopped !== null && lastValidation?.step !== totals.lastStep)
    show(
      `not validated at the stop${checkpoint === undefined ? '' : `: ${locmoeCommand(['eval', '--checkpoint', asGiven(checkpoint)])}`}`,
    );
  const { texts, randomLoss } =
    samples && stopped === null && checkpoint !== undefined
      ? await tryModel(checkpoint, dataset, lastValidation?.step === lastCheckpoint?.step)
      : { texts: [], randomLoss: null };
  const unigrams = new Map(dataset.domains.map(({ name, validationEntropy }) => [name, validationEntropy]));
  const meaning = meaningOf(totals, { config, resumedFrom, unigrams, randomLoss });
  show(['\nwhat it means', ...meaning].join('\n'));
  if (texts.length > 0) show('\nsamples (the prompt is from the validation text)');
  for (const { domain, prompt, text } of texts)
    show(wrapped(`  ${domain}: ${oneLine(prompt)} >>> ${oneLine(text)}`, '    '));
  const summary = {
    generation: totals.currentGeneration,
    meaning,
    validation: lastValidation,
    checkpoint: checkpoint ?? null,
    best,
    end: reason,
    expertLoad: Object.fromEntries(layers.map(({ layer, kept }) => [layer, kept])),
    routing: layers,
    samples: texts,
    seconds: totals.seconds,
    ...(answerTokens > 0 && { tokens, answerTokens }),
    restarts: numRestarts,
    lostSteps,
    lostSeconds: lostS,
  };
  disk.write(path.join(folder.directory, 'summary.json'), () => folder.writeSummary(summary));
  show(`\nfiles: ${run}`);
  if (best !== null) show(`best: ${asGiven(best.checkpoint)}, validation loss ${best.loss.toFixed(3)}`);
  const from = ['--checkpoint', asGiven(best?.checkpoint ?? checkpoint ?? '')];
  const [{ name, train }] = dataset.domains as [Dataset['domains'][0]];
  const prompt = train.marks === null ? 'The' : 'Your question';
  // Each item begins with what the command shows; the words of the command follow.
  const next = [
    ['charts, expert load, logs', 'inspect', '--run', run],
    ['text of the model', 'generate', ...from, '--domain', name, '--prompt', prompt],
    isGateIdle(totals.lastChoices)
      ? ['loss without the gate', 'eval', ...from, '--ablate', 'gate']
      : ['loss of each domain', 'eval', ...from],
    ...(layers.length > 0 && randomLoss === null
      ? [['loss with random experts', 'eval', ...from, '--routes', 'random']]
      : []),
    ['more steps', 'train', '--resume', run, ...(end === null ? [] : ['--set', end.remedy])],
  ].slice(0, checkpoint === undefined ? 1 : undefined);
  if (stopped !== null) next.unshift(next.pop()!);
  const rows = next.map(([shows, ...words]) => [shows!, locmoeCommand(words)]);
  // A command stays on one line, so that it can be copied.
  show(`\nnext\n${formatTable(rows, { textColumns: [1], width: Number.POSITIVE_INFINITY })}`);
}

/** Makes a path relative to the working directory if it is in the folder of runs and this was given so. */
export function placeAsGiven(place: string, runsDir: string): string {
  const isElsewhere = path.relative(runsDir, place).startsWith('..');
  return path.isAbsolute(runsDir) || isElsewhere ? place : path.relative('.', place);
}

/** Generates text of each domain and, if `isValidated`, computes the loss of the validation with experts drawn at random. */
async function tryModel(checkpoint: string, dataset: Dataset, isValidated: boolean) {
  // TensorFlow takes half a second to load, which no run should wait for at its start.
  const { openInference } = await import('../inference/inference.js');
  const inference = openInference(openCheckpoint(checkpoint));
  const texts = await sampleEachDomain(inference, dataset);
  return { texts, randomLoss: isValidated ? await lossOfRandom(inference, dataset) : null };
}

/** Returns null if there are no experts to draw from, or it would take long. */
async function lossOfRandom(inference: Inference, dataset: Dataset): Promise<number | null> {
  const { data, model, moe, train } = inference.config;
  const hasChoice = model.numSparseLayers > 0 && expertsOfDomain(1, moe)[0]!.length > 1;
  if (!hasChoice || train.routes !== 'router') return null;
  const tokens = data.domains.length * train.validationSequences * model.seqLen;
  if (tokens * parameterCounts(inference.config).model > MOST_EVALUATED) return null;
  return meanLoss({ domains: await validationLosses(inference, dataset, undefined, 'random') });
}

/** Finds the checkpoint of the run's best validation, with train.earlyStop. */
function bestCheckpoint(root: string, { metrics }: Manifest): { checkpoint: string; loss: number } | null {
  const { best } = progressOfMetrics(metrics);
  return best && { checkpoint: stepFolder(root, best.step), loss: best.loss };
}

async function sampleEachDomain(
  inference: Inference,
  dataset: Dataset,
): Promise<{ domain: string; prompt: string; text: string }[]> {
  const { generateText } = await import('../inference/generate.js');
  return dataset.domains.map(({ name, validation }, domain) => {
    const { ids, marks } = validation;
    // The prompt is the question of a sample, or the first words of text.
    const length = marks === null ? PROMPT_TOKENS : marks.indexOf(MARK.answer);
    const prompt = inference.tokenizer.decode(ids.slice(0, length));
    const text = generateText(inference, {
      prompt,
      domain,
      maxTokens: SAMPLE_TOKENS,
      temperature: 0.7,
      topK: 20,
      topP: 1,
      repetitionPenalty: 1,
      seed: 1,
      stop: [],
    });
    return { domain: name, prompt, text };
  });
}

function oneLine(text: string): string {
  return printable(text).replace(/\s+/g, ' ').trim();
}
