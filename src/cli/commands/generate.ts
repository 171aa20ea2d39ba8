import type { Command } from 'commander';
import { resolveCheckpoint } from '../../checkpoint/checkpoint.js';
import { TrainerError } from '../../errors.js';
import { printable } from '../../format.js';
import type { Inference } from '../../inference/inference.js';
import { numberFrom, wholeNumber } from './options.js';

interface GenerateOptions {
  readonly checkpoint: string;
  readonly prompt: string;
  readonly domain: string;
  readonly maxTokens: number;
  readonly temperature: number;
  readonly topK: number;
  readonly seed: number;
}

/** `locmoe generate`: continues a prompt, on one process whatever layout wrote the checkpoint. */
export function generateCommand(command: Command): void {
  command
    .requiredOption('--checkpoint <dir>', 'a step folder, or a run folder for its newest checkpoint')
    .requiredOption('--prompt <text>', 'the text to continue')
    .requiredOption('--domain <name>', "the text's domain: it decides which experts may be used")
    .option('--max-tokens <n>', 'tokens to add at most', wholeNumber(1), 100)
    .option('--temperature <t>', '0 always takes the likeliest token', numberFrom(0), 0.8)
    .option('--top-k <k>', 'draw from the k likeliest tokens', wholeNumber(1), 40)
    .option('--seed <n>', 'same seed, same text', wholeNumber(0), 1)
    .action(async (options: GenerateOptions) => {
      const { generateText, openInference } = await import('../../inference/inference.js');
      const inference = openInference(resolveCheckpoint(options.checkpoint, warn));
      const domain = domainId(inference, options.domain);
      const text = generateText(inference, { ...options, domain });
      process.stdout.write(`${options.prompt}${process.stdout.isTTY ? printable(text) : text}\n`);
    });
}

function warn(message: string): void {
  console.error(`locmoe: ${message}`);
}

function domainId({ config }: Inference, name: string): number {
  const domain = config.data.domains.indexOf(name);
  if (domain < 0)
    throw new TrainerError(
      'BAD_CONFIG',
      `--domain ${name}: the model knows ${config.data.domains.join(', ')}`,
    );
  return domain;
}
