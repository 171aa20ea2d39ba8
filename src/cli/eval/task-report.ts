import type { Scoring } from '../../evaluation/prompt.js';
import { describeLeftOut } from '../../evaluation/question.js';
import type { GroupSummary, NamedSummary } from '../../evaluation/summary.js';
import { formatCount, formatNumberOf, formatTable } from '../../format.js';
import { formatPercent, scoreCells } from './format-score.js';

/** Output of `locmoe eval --task --json`. */
export interface TaskReport extends GroupSummary {
  readonly checkpoint: string;
  readonly step: number;
  readonly task: { readonly files: readonly string[] };
  readonly domain: string;
  readonly shots: number;
  /** Number of questions asked of each file; null if all were asked. */
  readonly limit: number | null;
  readonly notForReporting: boolean;
  /** `model.seqLen` of the checkpoint. */
  readonly contextTokens: number;
  /** Number of questions that were left out, by reason. */
  readonly leftOut: Readonly<Record<string, number>>;
  /** Number of questions with an option longer than the context, in the scoring by continuation. */
  readonly unscored: number;
  readonly subjects: readonly NamedSummary[];
  readonly contamination: {
    readonly gramWords: number;
    readonly contaminated: number;
    readonly tooShort: number;
    /** Scores without the contaminated questions; null if that leaves none. */
    readonly clean: GroupSummary | null;
  } | null;
}

const MEASURES: Readonly<Record<string, string>> = {
  acc: 'sum',
  acc_norm: 'per character',
  acc_bytes: 'per byte',
  acc_mutual_info: 'mutual information',
};

export function describeTask(report: TaskReport): string {
  const { checkpoint, step, task, domain, shots, limit, leftOut, unscored, contextTokens } = report;
  const cut = Object.entries(report.scorings).map(
    ([scoring, { cutPrompts }]) => `${formatPercent(cutPrompts)} (${scoring})`,
  );
  const out = describeLeftOut(leftOut);
  return [
    `${checkpoint}, step ${step}, domain ${domain}`,
    `${task.files.join(', ')}: ${formatNumberOf(report.n, 'question')}, ${formatNumberOf(shots, 'shot')}`,
    ...(limit === null
      ? []
      : [`the first ${formatCount(limit)} of each file alone (--limit): not for reporting`]),
    ...(out === '' ? [] : [`left out: ${out}`]),
    ...(unscored === 0
      ? []
      : [`not scored by continuation: ${formatCount(unscored)} with an option longer than the context`]),
    `prompts cut to the context of ${contextTokens} tokens: ${cut.join(', ')}`,
    scoreTable(report),
    ...contaminationLines(report),
    ...subjectTable(report.subjects),
  ].join('\n');
}

function scoreTable({ scorings, baselines, n }: GroupSummary): string {
  const { chance, majority, firstLongest } = baselines;
  const rows = Object.entries(scorings).flatMap(([scoring, { scores }]) =>
    Object.entries(scores).map(([metric, score]) => [
      scoring === 'letter' ? 'letter' : `continuation, ${MEASURES[metric]}`,
      ...scoreCells(score),
    ]),
  );
  const without = (name: string, value: number) => [name, formatPercent(value), '', formatCount(n)];
  return formatTable([
    ['scored by', 'right', 'std. error', 'questions'],
    ...rows,
    without('chance', chance),
    without(`always ${majority.letter}`, majority.score),
    without('the first longest option', firstLongest),
  ]);
}

function contaminationLines({ contamination, n }: TaskReport): string[] {
  if (contamination === null) return [];
  const { gramWords, contaminated, tooShort, clean } = contamination;
  return [
    `${formatCount(contaminated)} of ${formatNumberOf(n, 'question')} have ${gramWords} words in a row from the training text; ${formatCount(tooShort)} are too short to tell${contaminated === 0 || clean === null ? '' : '; without them:'}`,
    ...(contaminated === 0 || clean === null ? [] : [scoreTable(clean)]),
  ];
}

function subjectTable(subjects: readonly NamedSummary[]): string[] {
  if (subjects.length < 2) return [];
  const cells = ({ scorings }: GroupSummary, scoring: Scoring, metric: string) => {
    const score = scorings[scoring]?.scores[metric];
    return score === undefined ? ['-', '-'] : scoreCells(score).slice(0, 2);
  };
  return [
    formatTable([
      ['subject', 'questions', 'letter', 'std. error', 'per character', 'std. error', 'chance', 'longest'],
      ...subjects.map((group) => [
        group.name,
        formatCount(group.n),
        ...cells(group, 'letter', 'acc'),
        ...cells(group, 'continuation', 'acc_norm'),
        formatPercent(group.baselines.chance),
        formatPercent(group.baselines.firstLongest),
      ]),
    ]),
  ];
}
