import type { InstructRecipe } from '../config/instruct-recipe.js';
import { numStepsOf, tokensPerStep } from '../config/run-length.js';
import type { RunConfig } from '../config/schema.js';
import type { TextRecipe } from '../config/text-recipe.js';
import { formatCount, formatNumberOf, formatSize } from '../format.js';

/** What was found and chosen, in two lines for the terminal. */
export function describeRecipe({ numFiles, bytes, bytesPerToken }: TextRecipe, config: RunConfig): string[] {
  const { model, moe, data } = config;
  const [numSteps, tokens] = [numStepsOf(config), tokensPerStep(config)];
  const times = (numSteps * tokens * bytesPerToken) / (bytes * (1 - data.validationShare));
  const passes =
    times < 0.95 ? `${times.toPrecision(1)} of the text` : `about ${formatTimes(times)} through the text`;
  return [
    `text: ${formatNumberOf(numFiles, 'file')}, ${formatSize(bytes)}, as domain ${data.domains.join(', ')}`,
    `recipe: vocabulary ${formatCount(model.vocabSize)}, d = ${model.dModel}, ${model.numDenseLayers} + ` +
      `${model.numSparseLayers} layers, ${moe.numExperts} experts; ${formatCount(numSteps)} steps of ` +
      `${formatCount(tokens)} tokens, ${passes} (--print-config shows it, --set changes it)`,
  ];
}

/** As `describeRecipe`, of a fine-tuning. */
export function describeInstruct({ numFiles, bytes }: InstructRecipe, config: RunConfig): string[] {
  const { data, train } = config;
  return [
    `samples: ${formatNumberOf(numFiles, 'file')}, ${formatSize(bytes)}, as domain ${data.domains.join(', ')}`,
    `recipe: ${formatCount(numStepsOf(config))} steps of ${formatNumberOf(train.globalBatch, 'sequence')}, learning rate ` +
      `${train.learningRate} (--print-config shows it, --set changes it)`,
  ];
}

function formatTimes(times: number): string {
  const whole = Math.round(times);
  return whole === 1 ? 'once' : `${whole} times`;
}
