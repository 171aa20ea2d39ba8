import { createInterface } from 'node:readline/promises';
import { text as readAll } from 'node:stream/consumers';
import { setImmediate } from 'node:timers/promises';
import type { Command } from 'commander';
import { TrainerError } from '../../errors.js';
import { printable } from '../../format.js';
import { chatFormOf } from '../../inference/chat-form.js';
import { cutPrompt } from '../../inference/cut-prompt.js';
import type { GenerateOptions } from '../../inference/generate.js';
import type { Inference } from '../../inference/inference.js';
import { domainId, loadInference } from '../../local/load-inference.js';
import { interruptible } from '../../os/on-signals.js';
import { openCheckpoint } from '../open-checkpoint.js';
import { collect, numberFrom, positiveUpTo, wholeNumber } from './options.js';

interface CommandOptions extends Omit<GenerateOptions, 'domain' | 'prompt'> {
  readonly checkpoint: string;
  readonly prompt?: string;
  readonly system?: string;
  readonly raw?: boolean;
  readonly domain?: string;
  readonly interactive?: boolean;
}

/** `locmoe generate`: continues a prompt, on one process whatever layout wrote the checkpoint. */
export function generateCommand(command: Command): void {
  command
    .requiredOption('--checkpoint <dir>', 'a step folder, or a run (its name) for its newest checkpoint')
    .option(
      '--prompt <text>',
      'the text to continue, or the question to a model with a template for conversations; - reads it from standard input, without its last line break',
    )
    .option('--system <text>', 'to a model with such a template: how to answer')
    .option('--raw', 'continue the text as it is, without the template')
    .option('--interactive', 'read text line by line; each is added to what came before, and continued')
    .option(
      '--domain <name>',
      "the text's domain: it decides which experts may be used (default: the only one)",
    )
    .option('--max-tokens <n>', 'tokens to add at most', wholeNumber(1), 100)
    .option('--temperature <t>', '0 always takes the likeliest token', numberFrom(0), 0.8)
    .option('--top-k <k>', 'draw from the k likeliest tokens', wholeNumber(1), 40)
    .option('--top-p <p>', 'of these, from the fewest whose probabilities sum to p', positiveUpTo(1), 1)
    .option(
      '--repetition-penalty <r>',
      'above 1 makes tokens less likely that have come before',
      positiveUpTo(Number.MAX_VALUE),
      1,
    )
    .option('--stop <text>', 'end in front of this text (repeatable)', collect, [])
    .option('--seed <n>', 'same seed, same text', wholeNumber(0, Number.MAX_SAFE_INTEGER), 1)
    .action(run);
}

async function run({ prompt, interactive = false, system, raw, ...options }: CommandOptions): Promise<void> {
  if ((prompt === undefined) === !interactive)
    throw new TrainerError('BAD_INPUT', 'give either --prompt TEXT (- for standard input) or --interactive');
  const checkpoint = openCheckpoint(options.checkpoint);
  const domain = domainId(checkpoint.manifest.config, options.domain);
  const asks = raw !== true && chatFormOf(checkpoint, domain) !== null;
  if (system !== undefined && !asks)
    throw new TrainerError(
      'BAD_INPUT',
      '--system is for models with a template for conversations, without --raw',
    );
  const text = prompt === '-' ? (await readAll(process.stdin)).replace(/\r?\n$/, '') : prompt;
  const inference = await loadInference(checkpoint);
  const sampled = { ...options, domain };
  await interruptible('ended', async (signal) => {
    const begun: Prompt = !asks ? '' : system === undefined ? [] : [{ role: 'system', content: system }];
    if (text === undefined) return converse(inference, { ...sampled, prompt: begun }, signal);
    if (!asks) process.stdout.write(shown(text));
    await print(inference, { ...sampled, prompt: said(begun, text) }, signal);
  });
}

type Prompt = GenerateOptions['prompt'];

/** Adds the user's input: to one text that user and model extend in turn, or as a turn of a conversation. */
function said(prompt: Prompt, text: string): Prompt {
  if (typeof prompt !== 'string') return [...prompt, { role: 'user', content: text }];
  if (text.endsWith(' '))
    warn(
      'the prompt ends with a space, and the model learned words together with the space before them: ' +
        'it goes on better without it',
    );
  return prompt === '' ? text : `${prompt}\n${text}`;
}

function answered(prompt: Prompt, text: string): Prompt {
  return typeof prompt === 'string' ? prompt + text : [...prompt, { role: 'assistant', content: text }];
}

/** Alternates turns until the end of the input or Ctrl-C; the model reads the whole conversation. */
async function converse(inference: Inference, options: GenerateOptions, signal: AbortSignal): Promise<void> {
  let { prompt } = options;
  const terminal = process.stdin.isTTY === true;
  if (terminal) console.error('Enter continues your text; Ctrl-C or Ctrl-D ends.');
  const lines = createInterface({ input: process.stdin, ...(terminal && { output: process.stdout }) });
  // A terminal in raw mode turns Ctrl-C into a key press.
  lines.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  signal.addEventListener('abort', () => lines.close(), { once: true });
  lines.setPrompt('> ');
  if (terminal) lines.prompt();
  for await (const line of lines) {
    prompt = said(prompt, line);
    prompt = answered(prompt, await print(inference, { ...options, prompt }, signal));
    if (signal.aborted) break;
    if (terminal) lines.prompt();
  }
  lines.close();
  if (terminal) process.stdout.write('\n');
}

/** Prints the continuation as it is generated, and a line break; returns it. */
async function print(inference: Inference, options: GenerateOptions, signal: AbortSignal): Promise<string> {
  const { generate, asRead } = await import('../../inference/generate.js');
  const { model } = inference.config;
  const cut = cutPrompt(asRead(inference, options).tokenIds.length, model.seqLen);
  if (cut !== null) warn(cut);
  let text = '';
  for (const piece of generate(inference, options)) {
    text += piece;
    process.stdout.write(shown(piece));
    // This wait yields to signals and to the reader of the output.
    await setImmediate();
    if (signal.aborted) break;
  }
  process.stdout.write('\n');
  return text;
}

function shown(text: string): string {
  return process.stdout.isTTY ? printable(text) : text;
}

function warn(message: string): void {
  console.error(`locmoe: ${message}`);
}
