import { statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { meanLoss } from '@locmoe/run-format';
import type { Manifest } from '../../checkpoint/manifest.js';
import { CHOICE_RULES, isRule } from '../../config/named-routes.js';
import { sequencesOf } from '../../data/sequences.js';
import { asTrainerError, TrainerError } from '../../errors.js';
import { type Ablation, expertAblations, gateAblations } from '../../evaluation/ablations.js';
import { formatCount, formatNumberOf, formatTable } from '../../format.js';
import { openText, validationBatches, validationLosses } from '../../local/checkpoint-text.js';
import { loadInference } from '../../local/load-inference.js';
import { expertsOfDomain } from '../../routing/index.js';
import { openCheckpoint } from '../open-checkpoint.js';
import { preparationViewOn } from '../preparation-view.js';

interface LossOptions {
  readonly checkpoint: string;
  /** Number of sequences of each domain; undefined for the sequences that the training run validates with. */
  readonly sequences: number | undefined;
  readonly dataDir: string;
  readonly json: boolean;
}

interface LossWithRoutes extends LossOptions {
  /** How experts are chosen: `router`, `balanced`, `random`, or a file of recorded routes. */
  readonly routes: string;
}

/** Computes loss and perplexity by domain on the validation text. */
export async function evaluateLoss(options: LossWithRoutes): Promise<void> {
  const { sequences, routes } = options;
  assertRoutes(routes);
  const opened = openCheckpoint(options.checkpoint);
  // An evaluation is alone on its machine and has large batches, so it uses all cores.
  process.env.OMP_NUM_THREADS ??= String(availableParallelism());
  const inference = await loadInference(opened);
  const { config, checkpoint } = inference;
  const dataset = await openText(inference, options.dataDir, preparationViewOn(process.stderr));
  const domains = await validationLosses(inference, dataset, sequences, routes);
  const inTraining = config.train.validationSequences;
  const most = Math.max(
    ...dataset.domains.map(
      ({ validation }) => sequencesOf(validation, dataset.endOfText, config.model.seqLen).count,
    ),
  );
  const { folder, manifest } = checkpoint;
  const isSameCount = Math.min(sequences ?? inTraining, most) === Math.min(inTraining, most);
  const sameAsTraining = isTrainedHere(manifest) && isSameCount;
  dataset.close();
  if (options.json) {
    console.log(JSON.stringify({ checkpoint: folder, step: manifest.step, sameAsTraining, domains }));
    return;
  }
  const rows = domains.map(({ domain, loss, tokens }, id) => [
    domain,
    loss.toFixed(4),
    Math.exp(loss).toFixed(2),
    dataset.domains[id]!.validationEntropy.toFixed(4),
    formatCount(tokens),
  ]);
  console.log(`${folder}, step ${manifest.step}`);
  console.log(formatTable([['domain', 'loss', 'perplexity', 'unigram', 'tokens'], ...rows]));
  if (isTrainedHere(manifest)) console.log(tokensText(sameAsTraining, inTraining));
}

/** Tells whether a training run of this program saved the checkpoint; a published model has no generation. */
export function isTrainedHere({ generation }: Pick<Manifest, 'generation'>): boolean {
  return generation > 0;
}

function tokensText(sameAsTraining: boolean, inTraining: number): string {
  return sameAsTraining
    ? 'The validations of the training read the same tokens, if the text is still the same.'
    : `The validations of the training read other tokens: up to ${formatNumberOf(inTraining, 'sequence')} of each domain.`;
}

function assertRoutes(routes: string): void {
  if (!isRule(routes) && statSync(routes, { throwIfNoEntry: false })?.isFile() !== true)
    throw new TrainerError(
      'BAD_INPUT',
      `--routes ${routes}: is no file; give ${CHOICE_RULES.join(', ')}, or a file that locmoe routes record wrote without --text`,
    );
}

export type AblatedPart = 'all' | 'gate';

/** Prints what the loss becomes without parts of the routing. */
export async function evaluateAblations({
  part,
  ...options
}: LossOptions & { readonly part: AblatedPart }): Promise<void> {
  const opened = openCheckpoint(options.checkpoint);
  process.env.OMP_NUM_THREADS ??= String(availableParallelism());
  const inference = await loadInference(opened);
  const { config, checkpoint } = inference;
  const dataset = await openText(inference, options.dataDir, preparationViewOn(process.stderr));
  const batches = validationBatches(inference, dataset, options.sequences);
  const { evaluate } = await import('../../inference/inference.js');
  // Domains may share a group.
  const groups = new Map(
    expertsOfDomain(config.data.domains.length, config.moe).map((experts) => [experts[0], experts]),
  );
  const layers = inference.model.sparseLayers.map(({ layer }) => layer);
  const changes = [
    ...gateAblations(),
    ...(part === 'all' ? expertAblations(layers, [...groups.values()]) : []),
  ];
  const lossWith = (options: Ablation['options']) =>
    meanLoss({ domains: evaluate(inference, batches, options) });
  const whole = lossWith({});
  const changed = changes.flatMap(({ name, options }) => {
    try {
      return [{ name, loss: lossWith(options) }];
    } catch (error) {
      const { code, line } = asTrainerError(error);
      // A custom router may have no gate to silence; its experts can be left out all the same.
      if (code !== 'BAD_INPUT' || part === 'gate') throw error;
      console.error(`locmoe: no ${name}: ${line}`);
      return [];
    }
  });
  const losses = [{ name: 'as trained', loss: whole }, ...changed];
  dataset.close();
  if (options.json) {
    const { folder, manifest } = checkpoint;
    console.log(JSON.stringify({ checkpoint: folder, step: manifest.step, ablations: losses }));
    return;
  }
  console.log(`${checkpoint.folder}, step ${checkpoint.manifest.step}`);
  const rows = losses.map(({ name, loss }) => [
    name,
    loss.toFixed(4),
    Math.exp(loss).toFixed(2),
    `${loss >= whole ? '+' : ''}${(100 * (Math.exp(loss - whole) - 1)).toFixed(1)} %`,
  ]);
  console.log(formatTable([['routing', 'loss', 'perplexity', 'against as trained'], ...rows]));
}
