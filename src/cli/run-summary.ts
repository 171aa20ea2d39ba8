import path from 'node:path';
import { meanLoss, stepFolder, type Validation } from '@locmoe/run-format';
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
import { endOf, type RunEnd, stopOf } from '../run/run-end.js';
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
  const inference =
    samples && stopped === null && checkpoint !== undefined ? await openForSummary(checkpoint) : null;
  const texts = inference === null ? [] : await sampleEachDomain(inference, dataset);
  const randomLoss =
    inference !== null && lastValidation !== null && lastValidation.step === lastCheckpoint?.step
      ? await lossOfRandom(inference, dataset, lastValidation)
      : null;
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
  const from = best?.checkpoint ?? checkpoint;
  const next = nextCommands({
    run,
    from: from && asGiven(from),
    end,
    dataset,
    look: isGateIdle(totals.lastChoices)
      ? ['loss without the gate', '--ablate', 'gate']
      : layers.length > 0 && randomLoss === null
        ? ['loss with random experts', '--routes', 'random']
        : null,
  });
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

async function openForSummary(checkpoint: string): Promise<Inference> {
  // TensorFlow takes half a second to load, which no run should wait for at its start.
  const { openInference } = await import('../inference/inference.js');
  return openInference(openCheckpoint(checkpoint));
}

/** Returns the loss of the validation with experts drawn at random; null if there are none to draw, or it would take long. */
async function lossOfRandom(
  inference: Inference,
  dataset: Dataset,
  { domains }: Validation,
): Promise<number | null> {
  const { config } = inference;
  const tokens = domains.reduce((sum, domain) => sum + domain.tokens, 0);
  const { model, moe, train } = config;
  const hasChoice =
    train.routes === 'router' && model.numSparseLayers > 0 && expertsOfDomain(1, moe)[0]!.length > 1;
  if (!hasChoice || tokens * parameterCounts(config).model > MOST_EVALUATED) return null;
  return meanLoss({ domains: await validationLosses(inference, dataset, undefined, 'random') });
}

/** Finds the checkpoint of the run's best validation, with train.earlyStop. */
function bestCheckpoint(root: string, { metrics }: Manifest): { checkpoint: string; loss: number } | null {
  const { best } = progressOfMetrics(metrics);
  return best && { checkpoint: stepFolder(root, best.step), loss: best.loss };
}

interface NextOptions {
  readonly run: string;
  /** Checkpoint to look at; undefined for none. */
  readonly from: string | undefined;
  readonly end: RunEnd | null;
  readonly dataset: Dataset;
  /** What `eval` shows with further options, and these; null for nothing. */
  readonly look: readonly string[] | null;
}

/** Suggests the next commands: what each shows, and its words. */
function nextCommands({ run, from, end, dataset: { domains }, look }: NextOptions): string[][] {
  const charts = ['charts, expert load, logs', 'inspect', '--run', run];
  if (from === undefined) return [charts];
  const [{ name, train }] = domains as [Dataset['domains'][0]];
  const prompt = train.marks === null ? 'The' : 'Your question';
  const evaluate = ['eval', '--checkpoint', from];
  return [
    charts,
    ['text of the model', 'generate', '--checkpoint', from, '--domain', name, '--prompt', prompt],
    ['loss of each domain', ...evaluate],
    ...(look === null ? [] : [[look[0]!, ...evaluate, ...look.slice(1)]]),
    ['more steps', 'train', '--resume', run, ...(end === null ? [] : ['--set', end.remedy])],
  ];
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
