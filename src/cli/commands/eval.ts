import { type Command, Option } from 'commander';
import { TrainerError } from '../../errors.js';
import type { ClozeOptions } from '../eval/cloze.js';
import type { AblatedPart } from '../eval/loss.js';
import type { TaskOptions } from '../eval/task.js';
import { wholeNumber } from './options.js';

/** Options of all modes; `OPTIONS` lists those of each. */
interface EvalOptions extends Omit<TaskOptions & ClozeOptions, 'checkpoint' | 'task' | 'sequences' | 'json'> {
  readonly checkpoint?: string;
  readonly task?: readonly string[];
  readonly sequences?: number;
  readonly cloze?: true;
  readonly ablate?: AblatedPart;
  readonly routes?: string;
  readonly compare?: readonly string[];
  readonly json?: true;
}

type Mode = 'loss' | '--ablate' | '--task' | '--cloze' | '--compare';

/** Options that each mode takes besides --json. */
const OPTIONS: Readonly<Record<Mode, readonly (keyof EvalOptions)[]>> = {
  loss: ['checkpoint', 'sequences', 'routes', 'dataDir'],
  '--ablate': ['checkpoint', 'ablate', 'sequences', 'dataDir'],
  '--task': [
    ...(['checkpoint', 'task', 'shots', 'dev', 'domain', 'limit'] as const),
    ...(['samples', 'contamination', 'dataDir'] as const),
  ],
  '--cloze': ['checkpoint', 'cloze', 'sequences', 'seed', 'samples', 'dataDir'],
  '--compare': ['compare', 'seed'],
};
const CLOZE_SEQUENCES = 256;

/** `locmoe eval`: measures loss on the validation text, multiple choice and cloze, and compares answers. */
export function evalCommand(command: Command): void {
  command
    .option('--checkpoint <dir>', 'a step folder, or a run (its name) for its newest checkpoint')
    .option(
      '--sequences <n>',
      `sequences of each domain from its validation text (default: as many as the training validates with, with --cloze ${CLOZE_SEQUENCES})`,
      wholeNumber(1),
    )
    .option('--task <files...>', 'ask the multiple-choice questions of files of JSON lines')
    .option(
      '--shots <n>',
      'the first N questions of --dev stand with their answers in each prompt',
      wholeNumber(0, 100),
      0,
    )
    .option('--dev <file>', 'the file of example questions that --shots takes, in JSON lines')
    .option(
      '--domain <name>',
      "the questions' domain: it decides which experts may be used (default: the only one)",
    )
    .option(
      '--limit <n>',
      'the first questions of each file alone: for a try, not for reporting',
      wholeNumber(1),
    )
    .option('--samples <file>', "write every answer, with lm-evaluation-harness' field names")
    .option(
      '--contamination [files...]',
      "find questions in text, or in a prepared dataset (default: the checkpoint's training text), and score without them",
    )
    .option('--cloze', 'which of four continuations of held-out text is the true one')
    .addOption(
      new Option(
        '--ablate [part]',
        'the loss with the gate disabled, and with each expert removed or swapped in turn; gate: with the gate disabled only',
      )
        .choices(['all', 'gate'] satisfies AblatedPart[])
        .preset('all'),
    )
    .option(
      '--routes <choices>',
      'who chooses the experts: router, balanced, random, or a file of `locmoe routes record` that is replayed (default: router)',
    )
    .option('--compare <files...>', 'two samples files: differences question by question')
    .option(
      '--seed <n>',
      'of --cloze and of the bootstrap of --compare',
      wholeNumber(0, Number.MAX_SAFE_INTEGER),
      1,
    )
    .option('--data-dir <dir>', 'folder for prepared datasets', 'data')
    .option('--json', 'print JSON')
    .action((options: EvalOptions) => evaluate(options, givenOf(command)));
}

function givenOf(command: Command): (keyof EvalOptions)[] {
  return Object.keys(command.opts()).filter(
    (name) => command.getOptionValueSource(name) === 'cli',
  ) as (keyof EvalOptions)[];
}

async function evaluate(options: EvalOptions, given: readonly (keyof EvalOptions)[]): Promise<void> {
  const mode = modeOf(options);
  const other = given.find((name) => name !== 'json' && !OPTIONS[mode].includes(name));
  if (other !== undefined) throw misplaced(other, mode);
  if ((options.dev === undefined) !== (options.shots === 0))
    throw new TrainerError(
      'BAD_INPUT',
      '--shots and --dev are given together: --shots N questions with answers come from the file --dev',
    );
  const { checkpoint, sequences, task, compare, ablate, shots, seed, dataDir, json = false } = options;
  if (compare !== undefined) {
    const [a, b, ...more] = compare;
    if (a === undefined || b === undefined || more.length > 0)
      throw new TrainerError('BAD_INPUT', `--compare takes two samples files, not ${compare.length}`);
    const { compareAnswers } = await import('../eval/compare.js');
    compareAnswers({ files: [a, b], seed, json });
    return;
  }
  if (checkpoint === undefined)
    throw new TrainerError('BAD_INPUT', '--checkpoint is missing: a step folder, or a run');
  if (task !== undefined) {
    const { evaluateTask } = await import('../eval/task.js');
    await evaluateTask({ ...options, checkpoint, task, shots, json });
  } else if (options.cloze) {
    const { evaluateCloze } = await import('../eval/cloze.js');
    await evaluateCloze({ ...options, checkpoint, sequences: sequences ?? CLOZE_SEQUENCES, json });
  } else if (mode === '--ablate') {
    const { evaluateAblations } = await import('../eval/loss.js');
    await evaluateAblations({ checkpoint, sequences, dataDir, json, part: ablate ?? 'all' });
  } else {
    const { evaluateLoss } = await import('../eval/loss.js');
    await evaluateLoss({ checkpoint, sequences, routes: options.routes ?? 'router', dataDir, json });
  }
}

function modeOf({ task, cloze, compare, ablate }: EvalOptions): Mode {
  if (compare !== undefined) return '--compare';
  if (task !== undefined) return '--task';
  if (cloze) return '--cloze';
  return ablate ? '--ablate' : 'loss';
}

function misplaced(name: keyof EvalOptions, mode: Mode): TrainerError {
  const option = `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  const homes = (Object.keys(OPTIONS) as Mode[]).filter(
    (each) => each !== 'loss' && OPTIONS[each].includes(name),
  );
  const what = mode === 'loss' ? `goes with ${homes.join(' or ')}` : `does not go with ${mode}`;
  return new TrainerError('BAD_INPUT', `${option} ${what}`);
}
