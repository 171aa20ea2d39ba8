import { createHash } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { preparationViewOn } from 'locmoe/internal/cli/preparation-view';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { CORPUS_DIR } from 'locmoe/internal/data/built-in/corpora';
import type { Dataset } from 'locmoe/internal/data/dataset';
import { prepareAside } from 'locmoe/internal/data/prepare/prepare-aside';
import { loadTokenizer, type Tokenizer } from 'locmoe/internal/data/tokenizer/tokenizer';
import { TrainerError } from 'locmoe/internal/errors';
import { type ClozeItem, clozeItems } from 'locmoe/internal/evaluation/cloze';
import { ContaminationCheck, trainingText } from 'locmoe/internal/evaluation/contamination';
import { loadTask, type Task } from 'locmoe/internal/evaluation/load-task';
import { type Question, refusal } from 'locmoe/internal/evaluation/question';
import { statOf } from 'locmoe/internal/evaluation/read-text';
import type { AskedTask } from 'locmoe/internal/evaluation/shots';
import { formatCount, formatNumberOf } from 'locmoe/internal/format';
import { digestOf } from '../kit/parts.js';

/** A line of what a model is fine-tuned on. The answer begins with a space, as options do that are scored. */
interface Sample {
  readonly prompt: string;
  readonly completion: string;
}

/**
 * Whether a question of TeleQnA is learned, or held out for the evaluation: half of them each, by a hash of the question,
 * so that a question that stands there twice is on one side.
 */
export function isLearned({ text }: Pick<Question, 'text'>): boolean {
  const digest = createHash('sha256').update(text.trim().toLowerCase()).digest();
  return digest[0]! % 2 === 0;
}

/** The text of the right option, and the explanation. */
export function sampleOf({ text, choices, answer, doc }: Question): Sample {
  const explanation = typeof doc.explanation === 'string' ? doc.explanation.trim() : '';
  return {
    prompt: text.trim(),
    completion: ` ${choices[answer]!.trim()}${explanation === '' ? '' : `\n${explanation}`}`,
  };
}

/** An object of a MIB module, with its description. */
const MANAGED_OBJECT =
  /\b([a-z][A-Za-z0-9]*)\s+OBJECT-TYPE\s(?:(?!OBJECT-TYPE)[^"])*?DESCRIPTION\s+"([^"]+)"/g;
const FIRST_SENTENCE = /^.*?\.(?= |$)/;

/** Questions about the managed objects that a text defines; the first definition of a name counts. */
export function objectSamples(texts: Iterable<string>): Sample[] {
  const descriptions = new Map<string, string>();
  for (const text of texts)
    for (const [, name = '', description = ''] of text.matchAll(MANAGED_OBJECT)) {
      const line = description.replaceAll(/\s+/g, ' ').trim();
      if (line !== '' && !descriptions.has(name))
        descriptions.set(name, FIRST_SENTENCE.exec(line)?.[0] ?? line);
    }
  return [...descriptions].map(([name, description]) => ({
    prompt: `What does the managed object ${name} stand for?`,
    completion: ` ${description}`,
  }));
}

/** The training text of the domain telecom. */
function telecomText(dataset: Dataset, tokenizer: Tokenizer): Iterable<string> {
  const domains = dataset.domains.filter(({ name }) => name === 'telecom');
  return trainingText({ ...dataset, domains }, tokenizer);
}

/** Names a folder with benchmarks as they are published; they are not part of this repository. */
const EVAL_DATA = 'LOCMOE_EVAL_DATA';
/** Folder of the question pools of Debian's packages. */
const DEBIAN = '/usr/share';

interface Benchmark {
  readonly name: string;
  readonly tasks: readonly Task[];
}

interface AtHand {
  readonly benchmarks: readonly Benchmark[];
  /** Names of those that are not. */
  readonly missing: readonly string[];
}

/**
 * Reads the benchmarks that are on this machine.
 *
 * @param folder null without one of published files
 * @throws TrainerError `BAD_INPUT` if the folder is none, or a file is damaged
 */
export async function benchmarksAtHand(folder: string | null): Promise<AtHand> {
  if (folder !== null && !statOf(folder).isDirectory())
    throw refusal(`${EVAL_DATA} ${folder}`, 'is no folder');
  const benchmarks: Benchmark[] = [];
  const missing: string[] = [];
  for (const [name, files] of Object.entries(filesAtHand(folder))) {
    if (files.length === 0) missing.push(name);
    else benchmarks.push({ name, tasks: await Promise.all(files.map((file) => loadTask(file, null))) });
  }
  return { benchmarks, missing };
}

function filesAtHand(folder: string | null): Readonly<Record<string, readonly string[]>> {
  const names = folder === null ? [] : readdirSync(folder).sort();
  const own = (pattern: RegExp) =>
    names.filter((name) => pattern.test(name)).map((name) => path.join(folder!, name));
  const pool = (name: string) =>
    [...own(new RegExp(`^${name}$`)), path.join(DEBIAN, name)].filter((place) => existsSync(place));
  return {
    TeleQnA: own(/^TeleQnA\.(txt|zip)$/).slice(-1),
    OpsEval: own(/^opseval-test-.*\.json$/),
    hamexam: pool('hamexam').slice(0, 1),
    fccexam: pool('fccexam').slice(0, 1),
  };
}

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

interface MaterialOptions {
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
