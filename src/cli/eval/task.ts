import { type Answer, ask } from '../../evaluation/ask.js';
import { type ContaminationCheck, GRAM } from '../../evaluation/contamination.js';
import { type AskedTask, loadShots, loadTask } from '../../evaluation/load-task.js';
import type { Question } from '../../evaluation/question.js';
import { checkPlace, sampleLine, writeSamples } from '../../evaluation/samples.js';
import { subjectSummaries, summaryOf } from '../../evaluation/summary.js';
import { domainId } from '../../local/load-inference.js';
import { openCheckpoint } from '../open-checkpoint.js';
import { checkTexts, contaminationOf } from './contamination.js';
import { ScorerPool } from './scorer-pool.js';
import { describeTask, type TaskReport } from './task-report.js';
import { untilAnswered } from './until-answered.js';

export interface TaskOptions {
  readonly checkpoint: string;
  readonly task: readonly string[];
  readonly shots: number;
  readonly dev?: string;
  readonly domain?: string;
  readonly limit?: number;
  readonly samples?: string;
  /** Files or a prepared dataset to search for the questions; true for the checkpoint's own training text. */
  readonly contamination?: readonly string[] | true;
  readonly dataDir: string;
  readonly json: boolean;
}

/** Asks the questions of a task, and prints scores beside those reached without a model. */
export async function evaluateTask(options: TaskOptions): Promise<void> {
  if (options.samples !== undefined) checkPlace(options.samples);
  checkTexts(options);
  const tasks = loadTasks(options);
  const checkpoint = openCheckpoint(options.checkpoint);
  const { config } = checkpoint.manifest;
  const domain = domainId(config, options.domain);
  const scorer = await ScorerPool.open(checkpoint);
  const questions = tasks.flatMap((task) => task.questions);
  const contamination = await contaminationOf(scorer, questions, options);
  const { answers, unscored } = await untilAnswered(scorer, questions.length, async (watch) => {
    const asked = await ask(scorer, tasks, { domain, ...watch });
    if (options.samples !== undefined)
      writeSamples(
        options.samples,
        asked.answers.map((answer) => lineOf(answer, contamination?.contaminated)),
      );
    return asked;
  });
  const report: TaskReport = {
    checkpoint: checkpoint.folder,
    step: checkpoint.manifest.step,
    task: { files: options.task },
    domain: config.data.domains[domain]!,
    shots: options.shots,
    limit: options.limit ?? null,
    notForReporting: options.limit !== undefined,
    contextTokens: config.model.seqLen,
    leftOut: sumOf(tasks.map(({ leftOut }) => leftOut)),
    unscored: unscored.length,
    ...summaryOf(answers),
    subjects: subjectSummaries(answers),
    contamination: contamination && contaminationReport(contamination, answers),
  };
  console.log(options.json ? JSON.stringify(report) : describeTask(report));
}

function loadTasks({ task, limit, shots, dev }: TaskOptions): AskedTask[] {
  return task.map((file) => {
    const loaded = loadTask(file);
    const inFront = dev === undefined ? [] : loadShots(file, shots, dev);
    return { ...loaded, questions: loaded.questions.slice(0, limit), shots: inFront };
  });
}

function contaminationReport(
  { contaminated, tooShort }: ContaminationCheck,
  answers: readonly Answer[],
): TaskReport['contamination'] {
  const clean = answers.filter(({ question }) => !contaminated.has(question));
  return {
    gramWords: GRAM,
    contaminated: contaminated.size,
    tooShort: tooShort.size,
    clean: clean.length === 0 ? null : summaryOf(clean),
  };
}

function sumOf(counts: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const [reason, count] of counts.flatMap((each) => Object.entries(each)))
    sums[reason] = (sums[reason] ?? 0) + count;
  return sums;
}

function lineOf(
  { question, scoring, context, continuations, logLikelihoods, unconditional, metrics, wasCut }: Answer,
  contaminated: ReadonlySet<Question> | undefined,
): string {
  const withoutContext = unconditional.map((_, i): readonly [string, string] => ['', continuations[i]!]);
  return sampleLine({
    docId: question.docId,
    doc: question.doc,
    answer: question.answer,
    filter: scoring,
    requests: [...continuations.map((text): readonly [string, string] => [context, text]), ...withoutContext],
    logLikelihoods: [...logLikelihoods, ...unconditional],
    metrics,
    more: {
      subject: question.subject,
      prompt_cut: wasCut,
      ...(contaminated !== undefined && { contaminated: contaminated.has(question) }),
    },
  });
}
