import { numStepsOf, tokensPerStep } from '@locmoe/run-format';
import type { Recipe } from '../../config/recipe.js';
import type { RunConfig } from '../../config/schema.js';
import type { Loader } from '../../data/loader.js';
import { positionsOf } from '../../data/packing.js';
import { formatCount, formatNumberOf, formatShare, formatSize } from '../../format.js';
import { parameterCounts } from '../../model/parameter-counts.js';
import { leastRankMemory } from '../../model/rank-memory.js';

/** Describes the text that was found and the recipe that was chosen, in two lines. */
export function describeRecipe(
  { numFiles, bytes }: Pick<Recipe, 'numFiles' | 'bytes'>,
  config: RunConfig,
): string[] {
  const { model, moe, data } = config;
  return [
    `text: ${formatNumberOf(numFiles, 'file')}, ${formatSize(bytes)}, as domain ${data.domains.join(', ')}`,
    `recipe: vocabulary ${formatCount(model.vocabSize)}, d = ${model.dModel}, ${model.numDenseLayers} + ` +
      `${model.numSparseLayers} layers, ${moe.numExperts} experts (--print-config shows it, --set changes it)`,
  ];
}

/** Describes how long the training is, in passes over the tokens that were counted, which leave out near-duplicates. */
export function describeLength(config: RunConfig, numTokens: number): string {
  const [numSteps, tokens] = [numStepsOf(config), tokensPerStep(config)];
  const passes = (numSteps * tokens) / numTokens;
  return (
    `length: ${formatNumberOf(numSteps, 'step')} of ${formatCount(tokens)} tokens, ` +
    `${passes.toPrecision(2)} passes over ${formatCount(numTokens)} tokens of text`
  );
}

/** Describes the samples and the recipe of a fine-tuning, in two lines. */
export function describeInstruct(
  { numFiles, bytes }: Pick<Recipe, 'numFiles' | 'bytes'>,
  config: RunConfig,
): string[] {
  const { data, train } = config;
  return [
    `samples: ${formatNumberOf(numFiles, 'file')}, ${formatSize(bytes)}, as domain ${data.domains.join(', ')}`,
    `recipe: ${formatCount(numStepsOf(config))} steps of ${formatNumberOf(train.globalBatch, 'sequence')}, learning rate ` +
      `${train.learningRate} (--print-config shows it, --set changes it)`,
  ];
}

/** Describes how question-answer samples were packed into sequences, a line for each domain and split. */
export function describePacking({ packings }: Pick<Loader, 'packings'>, seqLen: number): string[] {
  return packings.map(({ domain, split, packing: { rows, numSamples, numCut, numLeftOut } }) => {
    const filled = rows.reduce(
      (sum, row) => sum + row.reduce((length, sample) => length + positionsOf(sample), 0),
      0,
    );
    const use = split === 'train' ? 'to train on' : 'held out';
    return [
      `${domain}: ${formatNumberOf(numSamples, 'sample')} ${use} in ${formatNumberOf(rows.length, 'sequence')} of ` +
        `${formatCount(seqLen)} tokens (${formatShare(filled / (rows.length * seqLen))} full)`,
      ...(numCut > 0 ? [`${formatCount(numCut)} cut from the left`] : []),
      ...(numLeftOut > 0 ? [`${formatCount(numLeftOut)} left out, whose answer does not fit`] : []),
    ].join('; ');
  });
}

/** Describes how much of the model is trained, in a line; null if all of it is. */
export function describeTrained(config: RunConfig): string | null {
  const { shared, expertsOfRank, trained } = parameterCounts(config);
  const [part, all] = [trained.shared + trained.expertsOfRank, shared + expertsOfRank];
  if (part === all) return null;
  const { gradients, moments } = leastRankMemory(config);
  return (
    `trained: ${formatCount(part)} of ${formatCount(all)} parameters of a rank (${((100 * part) / all).toPrecision(2)} %), ` +
    `with gradients and moments of ${formatSize(gradients + moments)}`
  );
}
