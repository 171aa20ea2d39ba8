import { createHash } from 'node:crypto';
import path from 'node:path';
import { preparationViewOn } from 'locmoe/internal/cli/preparation-view';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { CORPUS_DIR } from 'locmoe/internal/data/corpora';
import type { Dataset } from 'locmoe/internal/data/dataset';
import { prepareAside } from 'locmoe/internal/data/prepare-aside';
import { loadTokenizer, type Tokenizer } from 'locmoe/internal/data/tokenizer';
import { TrainerError } from 'locmoe/internal/errors';
import { type ClozeItem, clozeItems } from 'locmoe/internal/evaluation/cloze';
import { ContaminationCheck } from 'locmoe/internal/evaluation/contamination';
import type { Question } from 'locmoe/internal/evaluation/question';
import type { AskedTask } from 'locmoe/internal/evaluation/shots';
import { formatCount, formatNumberOf } from 'locmoe/internal/format';
import { type Benchmark, benchmarksAtHand, EVAL_DATA } from './benchmarks.js';
import { isLearned, objectSamples, type Sample, sampleOf, telecomText } from './samples.js';

export const TELEQNA = 'TeleQnA';
const CLOZE_SEED = 1;

/** The questions of a benchmark, without those that fine-tuning has seen. */
export interface NamedTask {
  readonly name: string;
  readonly tasks: readonly AskedTask[];
}

/** Samples for fine-tuning, and questions that are asked before and after it. */
export interface Material {
  readonly samples: readonly Sample[];
  /** Description in words. */
  readonly samplesAre: string;
  readonly asked: readonly NamedTask[];
  readonly cloze: readonly ClozeItem[];
  /** Questions that were left out because 13 words in a row of them stand in the samples. */
  readonly contaminated: number;
  /** Names of benchmarks that are not on this machine. */
  readonly missing: readonly string[];
  /** Hashes of what is learned, and of what is asked. */
  readonly keys: { readonly samples: string; readonly asked: string };
}

export interface MaterialOptions {
  readonly dataDir: string;
  /** Questions of each file; all if undefined. */
  readonly limit?: number;
  /** Cloze questions of each domain. */
  readonly cloze: number;
}

/**
 * Collects questions and samples; prepares the text of the base models, which the cloze is made of.
 *
 * @throws TrainerError `BAD_INPUT` if there is nothing to fine-tune on, or a file is damaged
 */
export async function materialOf(
  { model, data }: RunConfig,
  { dataDir, limit, cloze: count }: MaterialOptions,
): Promise<Material> {
  const { benchmarks, missing } = await benchmarksAtHand(process.env[EVAL_DATA] || null);
  const view = preparationViewOn(process.stderr);
  const dataset = await prepareAside({
    ...data,
    dataDir: path.resolve(dataDir),
    corpusDir: CORPUS_DIR,
    vocabSize: model.vocabSize,
    log: view.say,
    progress: view.progress,
  });
  try {
    const tokenizer = loadTokenizer(dataset.tokenizerFile, data.endOfText);
    const { samples, samplesAre, held } = split(benchmarks, dataset, tokenizer);
    const seen = contaminatedBy(samples, held);
    const asked = held.map(({ name, tasks }) => ({
      name,
      tasks: tasks.map((task) => ({
        ...task,
        questions: task.questions.filter((question) => !seen.has(question)).slice(0, limit),
        shots: [],
      })),
    }));
    const cloze = clozeItems(dataset, {
      seqLen: model.seqLen,
      endOfText: tokenizer.endOfText,
      count,
      seed: CLOZE_SEED,
    });
    const questions = asked.flatMap(({ tasks }) =>
      tasks.flatMap((task) => task.questions.map(({ text, choices, answer }) => [text, choices, answer])),
    );
    return {
      samples,
      samplesAre,
      cloze,
      missing,
      contaminated: seen.size,
      asked: asked.filter(({ tasks }) => tasks.some((task) => task.questions.length > 0)),
      keys: { samples: digestOf(samples), asked: digestOf([questions, cloze]) },
    };
  } finally {
    dataset.close();
  }
}

/** One line about it. */
export function describeMaterial({ samplesAre, asked, missing, cloze, contaminated }: Material): string {
  const counts = asked.map(
    ({ name, tasks }) =>
      `${name} (${formatCount(tasks.reduce((sum, { questions }) => sum + questions.length, 0))})`,
  );
  return [
    `learned: ${samplesAre}`,
    `asked: ${[...counts, `cloze (${formatCount(cloze.length)})`].join(', ')}`,
    ...(contaminated === 0
      ? []
      : [`left out: ${formatNumberOf(contaminated, 'question')} of which 13 words in a row are learned`]),
    ...(missing.length === 0 ? [] : [`not at hand: ${missing.join(', ')} (${EVAL_DATA} names their folder)`]),
  ].join('; ');
}

interface Halves {
  readonly samples: readonly Sample[];
  readonly samplesAre: string;
  readonly held: readonly Benchmark[];
}

/** Half of TeleQnA is learned, or without it what the text of the base models says of managed objects. */
function split(benchmarks: readonly Benchmark[], dataset: Dataset, tokenizer: Tokenizer): Halves {
  const questions = benchmarks
    .filter(({ name }) => name === TELEQNA)
    .flatMap(({ tasks }) => tasks.flatMap((task) => task.questions));
  if (questions.length > 0) {
    const samples = questions.filter(isLearned).map(sampleOf);
    const held = benchmarks.map((benchmark) => (benchmark.name === TELEQNA ? heldOut(benchmark) : benchmark));
    return {
      samples,
      held,
      samplesAre: `${formatNumberOf(samples.length, 'question')} of TeleQnA with right option and explanation`,
    };
  }
  const samples = objectSamples(telecomText(dataset, tokenizer));
  if (samples.length === 0)
    throw new TrainerError(
      'BAD_INPUT',
      `there are no questions and answers to fine-tune on: name a folder with TeleQnA.zip in ${EVAL_DATA}, or train on text ` +
        'that defines managed objects (data.domains: telecom)',
    );
  return {
    samples,
    held: benchmarks,
    samplesAre: `what ${formatNumberOf(samples.length, 'managed object')} of the telecom text stand for`,
  };
}

function heldOut({ name, tasks }: Benchmark): Benchmark {
  return {
    name,
    tasks: tasks.map((task) => ({
      ...task,
      questions: task.questions.filter((question) => !isLearned(question)),
    })),
  };
}

function contaminatedBy(samples: readonly Sample[], benchmarks: readonly Benchmark[]): ReadonlySet<Question> {
  const check = new ContaminationCheck(
    benchmarks.flatMap(({ tasks }) => tasks.flatMap(({ questions }) => questions)),
  );
  // The name of the end-of-text token, which no question has, ends a sample.
  for (const { prompt, completion } of samples) check.read(`${prompt}${completion} <|endoftext|>`);
  return check.contaminated;
}

function digestOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex');
}
