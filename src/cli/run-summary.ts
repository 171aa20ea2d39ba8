import path from 'node:path';
import { meanLoss, stepFolder, type Validation } from '@locmoe/run-format';
import { openCheckpoint } from '../checkpoint/checkpoint.js';
import { type Manifest, readManifest } from '../checkpoint/manifest.js';
import type { OpenRun } from '../coordinator/run-view.js';
import type { Dataset } from '../data/dataset.js';
import { MARK } from '../data/template.js';
import {
  formatCount,
  formatDuration,
  formatNumberOf,
  formatShare,
  formatTable,
  printable,
  wrapped,
} from '../format.js';
import { fromHere, locmoeCommand } from '../os/command-line.js';
import { endOf, type RunEnd, stopOf } from '../run/run-end.js';
import { progressOfMetrics } from '../run/run-progress.js';
import type { LayerTotals, RunTotals } from '../run/run-totals.js';

const PROMPT_TOKENS = 12;
const SAMPLE_TOKENS = 48;
/** A gate counts as idle if token ids decide at least this share of its choices. */
const IDLE_FROM = 0.95;
/** A gate is not idle if more than this share of tokens go to its first choice: halfway between chance with two experts and 1. */
const DECIDES_FROM = 0.75;
/** Greatest number of columns in a table within 80 characters. */
const MAX_EXPERT_COLUMNS = 8;

interface SummaryOptions {
  /** Reason of an early stop; null if the run reached its end. */
  readonly stopped: string | null;
  /** True to generate text; false for a stopped run, which should end soon. */
  readonly samples: boolean;
  readonly show: (text: string) => void;
}

/** Prints the summary at the end of a run, and writes it to `summary.json`. */
export async function summarize(
  { identity: { config }, folder, disk, totals }: Pick<OpenRun, 'identity' | 'folder' | 'disk' | 'totals'>,
  dataset: Dataset,
  { stopped, samples, show }: SummaryOptions,
): Promise<void> {
  const { lastValidation, lastCheckpoint, lastChoices, layers, numRestarts, lostSteps, lostS } = totals;
  const { tokens, answerTokens } = totals;
  const checkpoint = lastCheckpoint?.directory;
  const manifest = checkpoint === undefined ? null : readManifest(checkpoint);
  const end = manifest && endOf(config, manifest);
  const best = manifest && bestCheckpoint(folder.checkpoints, manifest);
  const reason = stopped === null ? (end?.reason ?? null) : stopOf(stopped, totals.lastStep, config);
  show(
    `\n${stopped === null ? 'done' : 'stopped'} in ${formatDuration(totals.seconds)}${reason === null ? '' : `: the run ${reason}`}`,
  );
  if (numRestarts > 0)
    show(
      `${formatNumberOf(numRestarts, 'restart')} cost ${formatDuration(lostS)} in all, in it ${formatNumberOf(lostSteps, 'step')} done again (${locmoeCommand(['status', '--run', fromHere(folder.directory)])} lists the generations)`,
    );
  if (answerTokens > 0)
    show(
      `${formatCount(tokens)} tokens seen, ${formatCount(answerTokens)} of them in the loss: those of answers`,
    );
  if (stopped !== null && lastValidation?.step !== totals.lastStep)
    show(
      `not validated at the stop${checkpoint === undefined ? '' : `: ${locmoeCommand(['eval', '--checkpoint', fromHere(checkpoint)])}`}`,
    );
  if (lastValidation !== null) {
    show(
      `\nvalidation at step ${lastValidation.step} (nats per token; unigram is the best a model without context can do)`,
    );
    show(validationTable(lastValidation, dataset));
  }
  if (layers.length > 0) {
    show(`\nexpert load (share of the kept tokens)\n${loadTable(layers)}`);
    show(
      `\nrouting (totals of all steps; the share of the classic capacity and the cosine are of the last step)\n${routingTable(layers)}`,
    );
    const idle = idleGate(lastChoices);
    if (idle !== null)
      show(
        `${idle}${checkpoint === undefined ? '' : ` (${locmoeCommand(['eval', '--checkpoint', fromHere(checkpoint), '--ablate', 'gate'])} shows the loss without it)`}`,
      );
  }
  const texts =
    samples && stopped === null && checkpoint !== undefined
      ? await sampleEachDomain(checkpoint, dataset)
      : [];
  if (texts.length > 0) show('\nsamples (the prompt is from the validation text)');
  for (const { domain, prompt, text } of texts)
    show(wrapped(`  ${domain}: ${oneLine(prompt)} >>> ${oneLine(text)}`, '    '));
  const summary = {
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
  show(`\nfiles\n  checkpoint  ${checkpoint === undefined ? '(none)' : fromHere(checkpoint)}`);
  if (best !== null)
    show(`  best        ${fromHere(best.checkpoint)}\n              validation loss ${best.loss.toFixed(3)}`);
  show(`  logs        ${fromHere(folder.logs)}\n  metrics     ${fromHere(folder.metrics)}`);
  show('\nnext');
  const next = nextCommands(fromHere(folder.directory), best?.checkpoint ?? checkpoint, end, dataset);
  for (const words of stopped === null ? next : [...next.slice(-1), ...next.slice(0, -1)])
    show(`  ${locmoeCommand(words)}`);
}

/** Warns that the gate decides almost nothing, as token ids do; null if it decides, or there is no gate. */
export function idleGate({ idShare, gateShare }: RunTotals['lastChoices']): string | null {
  if (gateShare === undefined || idShare === undefined) return null;
  // With expert-choice every token is offered to all experts, so its choices equal the earlier ones and
  // include the gate's first one.
  if (idShare < IDLE_FROM || gateShare > DECIDES_FROM) return null;
  return `the gate is nearly idle: ${formatShare(idShare)} of the last step's choices were those of the last token with the same id and domain`;
}

/** Finds the checkpoint of the run's best validation, with train.earlyStop. */
function bestCheckpoint(root: string, { metrics }: Manifest): { checkpoint: string; loss: number } | null {
  const { best } = progressOfMetrics(metrics);
  return best && { checkpoint: stepFolder(root, best.step), loss: best.loss };
}

/** Suggests the next commands, as lists of words. */
function nextCommands(
  run: string,
  checkpoint: string | undefined,
  end: RunEnd | null,
  { domains }: Dataset,
): string[][] {
  const looks = [
    ['inspect', '--run', run],
    ['logs', '--run', run, '--level', 'info'],
  ];
  if (checkpoint === undefined) return looks;
  const from = ['--checkpoint', fromHere(checkpoint)];
  return [
    ...looks,
    [
      'generate',
      ...from,
      '--domain',
      domains[0]!.name,
      '--prompt',
      domains[0]!.train.marks === null ? 'The' : 'Your question',
    ],
    ['eval', ...from],
    ['train', '--resume', run, ...(end === null ? [] : ['--set', end.remedy])],
  ];
}

function validationTable({ domains }: Validation, dataset: Dataset): string {
  const tokens = domains.reduce((sum, domain) => sum + domain.tokens, 0);
  const entropyOf = (name: string) =>
    dataset.domains.find((domain) => domain.name === name)?.validationEntropy ?? Number.NaN;
  // The model knows the domain, so this is the mean of the domains' entropies, not the entropy of their mixture.
  const unigram = domains.reduce((sum, { domain, tokens: own }) => sum + entropyOf(domain) * own, 0) / tokens;
  const row = (name: string, loss: number, unigram: number, tokens: number) => [
    name,
    loss.toFixed(3),
    Math.exp(loss).toFixed(1),
    unigram.toFixed(3),
    formatCount(tokens),
  ];
  return formatTable([
    ['domain', 'loss', 'perplexity', 'unigram', 'tokens'],
    ...domains.map(({ domain, loss, tokens: own }) => row(domain, loss, entropyOf(domain), own)),
    row('all', meanLoss({ domains }), unigram, tokens),
  ]);
}

/** Formats a column for each expert or, if these do not fit a terminal, only the extremes of the range. */
function loadTable(layers: readonly LayerTotals[]): string {
  const shareOf = (count: number, kept: readonly number[]) => {
    const total = kept.reduce((sum, each) => sum + each, 0);
    return total === 0 ? '-' : `${((100 * count) / total).toFixed(1)} %`;
  };
  const experts = layers[0]!.kept.map((_, expert) => `e${expert}`);
  if (experts.length <= MAX_EXPERT_COLUMNS)
    return formatTable([
      ['', ...experts],
      ...layers.map(({ layer, kept }) => [`layer ${layer}`, ...kept.map((count) => shareOf(count, kept))]),
    ]);
  return formatTable([
    ['', 'even share', 'least', '', 'most', ''],
    ...layers.map(({ layer, kept }) => {
      const [least, most] = [Math.min(...kept), Math.max(...kept)];
      const even = `${(100 / kept.length).toFixed(1)} %`;
      const end = (count: number) => [shareOf(count, kept), experts[kept.indexOf(count)]!];
      return [`layer ${layer}`, even, ...end(least), ...end(most)];
    }),
  ]);
}

function routingTable(layers: readonly LayerTotals[]): string {
  const known = (value: number | null) => (value === null ? '-' : value.toFixed(2));
  const shareOf = (count: number, all: number) => (all === 0 ? '-' : formatShare(count / all));
  return formatTable([
    // The header takes two lines, to fit a terminal of 80 columns.
    ['', '', '', 'over', 'not', 'same', 'same', 'other', 'of', 'gate'],
    ['', 'routed', 'kept', 'cap.', 'chosen', 'worker', 'node', 'node', 'classic', 'cosine'],
    ...layers.map((layer) => {
      const kept = layer.kept.reduce((sum, count) => sum + count, 0);
      return [
        `layer ${layer.layer}`,
        layer.routed < 1e7 ? formatCount(layer.routed) : `${formatCount(layer.routed / 1e6)} M`,
        ...[kept, layer.overCapacity, layer.notChosen].map((count) => shareOf(count, layer.routed)),
        ...[layer.sameWorker, layer.sameNode, layer.otherNode].map((count) => shareOf(count, kept)),
        known(layer.capacityRatio),
        known(layer.gateCosine),
      ];
    }),
  ]);
}

async function sampleEachDomain(
  checkpointDir: string,
  dataset: Dataset,
): Promise<{ domain: string; prompt: string; text: string }[]> {
  // TensorFlow takes half a second to load, which no run should wait for at its start.
  const { openInference } = await import('../inference/inference.js');
  const { generateText } = await import('../inference/generate.js');
  const inference = openInference(openCheckpoint(checkpointDir));
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
