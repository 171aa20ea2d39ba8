import { statSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { TrainerError } from '@locmoe/run-format/errors';
import { inspectRoutes, readRowGroups } from '@locmoe/run-format/routes-file';
import { textsOf } from 'locmoe/internal/data/tokenizer/token-texts';
import { loadTokenizer, type Tokenizer } from 'locmoe/internal/data/tokenizer/tokenizer';
import { readProbe } from 'locmoe/internal/evaluation/routes/probe';
import { lowerPriority } from 'locmoe/internal/os/lower-priority';
import type { StepRoutes } from '../api-routes.js';
import { expertRoutes } from './expert-routes.js';
import { CompactRoutes } from './route-columns.js';
import { sequenceRoutes } from './sequence-routes.js';
import { indexStep, type StepIndex } from './step-index.js';
import { summaryOf } from './step-summary.js';

// The thread of a RoutesReader. It reads files of routes, which may take seconds, so that the coordinator
// need not wait.

/** With few cores, the training step comes first. */
const NICE = 5;
lowerPriority(NICE);
/** Maximum number of choices kept of one step, and of all steps together, at 84 bytes each. */
const MOST_CHOICES = 2_000_000;

/** The files of a step, and the required facts about its run. */
export interface StepFiles {
  readonly step: number;
  readonly files: readonly string[];
  /** Key of the files, which changes with them. */
  readonly key: string;
  readonly model: Pick<StepRoutes, 'numExperts' | 'expertsOfDomain'>;
  /** Possible places of the run's tokenizer.json; the first readable one is used. */
  readonly tokenizers: readonly string[];
  readonly endOfText: string | null;
}

export type RoutesQuestion =
  /** The files are those of a probe, with all its steps. */
  | { readonly about: 'probe'; readonly name: string }
  | { readonly about: 'step' }
  | { readonly about: 'sequence'; readonly sequence: number; readonly from: number }
  | { readonly about: 'expert'; readonly layer: number; readonly expert: number };

export interface RoutesRequest {
  readonly id: number;
  readonly files: StepFiles;
  readonly question: RoutesQuestion;
}

export interface RoutesAnswer {
  readonly id: number;
  /** The reply; null if the step has no such sequence or expert. */
  readonly reply?: object | null;
  /** Why there is no reply, in one line. */
  readonly problem?: string;
}

/** The last requested steps, by key. */
const steps = new Map<string, StepIndex>();
const tokenizers = new Map<string, Tokenizer | null>();

/** Requests are answered one by one, as two large steps at once would take twice the memory. */
let turn: Promise<void> = Promise.resolve();
parentPort!.on('message', (request: RoutesRequest) => {
  turn = turn.then(async () => {
    parentPort!.postMessage(await answer(request));
  });
});

async function answer({ id, files, question }: RoutesRequest): Promise<RoutesAnswer> {
  try {
    if (question.about === 'probe') return { id, reply: await probeOf(files, question.name) };
    const index = steps.get(files.key) ?? (await readStep(files));
    // The most recently used step is last.
    steps.delete(files.key);
    steps.set(files.key, index);
    forgetOldest();
    return { id, reply: replyTo(index, files, question) };
  } catch (error) {
    return { id, problem: (error as Error).message };
  }
}

function probeOf(asked: StepFiles, name: string): Promise<object> {
  const tokenizer = tokenizerOf(asked);
  const { files, model } = asked;
  return readProbe({ ...model, name, files, textsOf: (ids) => tokenizer && textsOf(tokenizer, ids) });
}

function replyTo(
  index: StepIndex,
  files: StepFiles,
  question: Exclude<RoutesQuestion, { readonly about: 'probe' }>,
): object | null {
  if (question.about === 'step') {
    index.summary ??= summaryOf(index, files.model);
    return index.summary;
  }
  const tokenizer = tokenizerOf(files);
  if (question.about === 'sequence')
    return sequenceRoutes(index, question, (ids) => tokenizer && textsOf(tokenizer, ids));
  return expertRoutes(index, question, (id) => tokenizer?.decode([id], true) ?? null);
}

/** @throws TrainerError `BAD_INPUT` before reading if the step has more choices than can be kept */
async function readStep({ step, files }: StepFiles): Promise<StepIndex> {
  const problems: string[] = [];
  const orProblem = async (read: () => Promise<void>) => {
    try {
      await read();
    } catch (error) {
      problems.push((error as Error).message);
    }
  };
  let choices = 0;
  const whole: string[] = [];
  for (const file of files)
    await orProblem(async () => {
      choices += (await inspectRoutes(file)).numRows;
      whole.push(file);
    });
  if (choices > MOST_CHOICES)
    throw new TrainerError(
      'BAD_INPUT',
      `step ${step} has ${(choices / 1e6).toFixed(1)} million recorded choices, more than the ${MOST_CHOICES / 1e6} million that the page reads: record a smaller train.recordRoutes.share, or ask DuckDB (docs/routes.md)`,
    );
  const routes = new CompactRoutes();
  for (const file of whole)
    await orProblem(async () => {
      for await (const columns of readRowGroups(file)) routes.add(columns);
    });
  return indexStep(step, routes, problems);
}

function forgetOldest(): void {
  let kept = [...steps.values()].reduce((sum, { length }) => sum + length, 0);
  for (const [key, { length }] of steps) {
    if (kept <= MOST_CHOICES || steps.size === 1) return;
    steps.delete(key);
    kept -= length;
  }
}

function tokenizerOf({ tokenizers: places, endOfText }: StepFiles): Tokenizer | null {
  for (const place of places) {
    const stat = statSync(place, { throwIfNoEntry: false });
    if (stat === undefined) continue;
    const key = `${place} ${stat.size} ${stat.mtimeMs}`;
    const known = tokenizers.get(key);
    const tokenizer = known === undefined ? opened(place, endOfText) : known;
    // Only one run is viewed at a time.
    if (known === undefined) tokenizers.clear();
    tokenizers.set(key, tokenizer);
    if (tokenizer !== null) return tokenizer;
  }
  return null;
}

/** Returns null for an unusable tokenizer; tokens are then shown by their ids. */
function opened(file: string, endOfText: string | null): Tokenizer | null {
  try {
    return loadTokenizer(file, endOfText);
  } catch {
    return null;
  }
}
