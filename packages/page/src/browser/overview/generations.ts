import type { RunGeneration } from '@locmoe/run-format/run-generations';
import type { RunDetail } from '../../api-types.js';
import { button, fill, h, heading, menu, scrollable, table } from '../dom.js';
import { DASH, formatDate, formatDurationMs } from '../format.js';
import { type GenerationSpan, timesOf } from './generation-spans.js';
import { openMoment } from './open-logs.js';
import type { RunData } from './run-data.js';

const COLUMNS = ['generation', 'began', 'nodes', 'starts with', 'steps', 'went on for', 'recovered', 'ended'];

/**
 * A menu of the generations of a run that was restarted or resumed: when and from which checkpoint each
 * began, how it ended, and what its recovery cost.
 */
export class Generations {
  readonly #summary = h.summary('generations');
  readonly #body = h.section({ class: 'menu-body card', 'aria-label': 'Generations' });
  readonly element = menu('generations', this.#summary, this.#body);

  set(run: RunData | null): void {
    const generations = run?.detail?.generations ?? [];
    this.element.hidden = generations.length < 2;
    if (run?.detail == null || this.element.hidden) return;
    const rows = generations.map((each, index) => this.#row(each, index, run));
    const all = scrollable('table of generations', table(['', ...COLUMNS.slice(1)], rows));
    fill(this.#summary, `${generations.length} generations`);
    fill(this.#body, heading('Generations', costsOf(run, run.detail)), all, ...billsOf(generations));
  }

  #row(each: RunGeneration, index: number, run: RunData): HTMLElement {
    const { step = 0, generations = [] } = run.detail ?? {};
    const { generation, beganAtMs, nodes, workersPerNode, from, recovery, failure } = each;
    const span = run.generationSpans.find((one) => one.generation === generation);
    const isLast = index === generations.length - 1;
    const last = isLast ? (each.trainedAtMs === null ? from.step : step) : lastStepOf(each);
    // If its last step was not recorded, the generation reached at least the step from which the next one
    // started, or the step of its last heartbeat.
    const seen = Math.max(lastBeatOf(run, span) ?? 0, generations[index + 1]?.from.step ?? 0);
    const account =
      recovery === null
        ? ''
        : `detected in ${recovery.detectedS.toFixed(1)} s, restarted in ${recovery.restartedS.toFixed(1)} s, ${recovery.lostSteps} steps (${recovery.lostS.toFixed(1)} s) done again`;
    const why = failure && button(failure.message, () => openMoment(run, failure.time), { class: 'bare' });
    const cells = [
      String(generation),
      formatDate(beganAtMs),
      `${nodes} x ${workersPerNode}`,
      from.kind === 'nothing' ? 'nothing' : `${from.kind} of step ${from.step}`,
      last === null ? stepsText(from.step, seen, ' or more') : stepsText(from.step, last),
      formatDurationMs(span === undefined ? null : (span.endedAt ?? Date.now()) - span.beganAt),
      account,
    ];
    return h.tr(
      ...cells.map((cell, column) => h.td({ 'data-name': COLUMNS[column] }, cell)),
      h.td({ 'data-name': COLUMNS.at(-1) }, ENDS[each.end] && h.span(ENDS[each.end]), why),
    );
  }
}

/** Returns a table of where the time of each recovery went; nothing if none is known. */
function billsOf(generations: readonly RunGeneration[]): HTMLElement[] {
  const rows = generations.flatMap(({ generation, bill }) => {
    if (bill === null) return [];
    const spansS = Object.entries({ outage: bill.outageS, ...bill.ranksS[bill.slowest] });
    const cells = [
      ['generation', String(generation)],
      ['rank', String(bill.slowest)],
    ] as const;
    return [[...cells, ...spansS.map(([name, seconds]) => [name, seconds.toFixed(2)] as const)]];
  });
  if (rows.length === 0) return [];
  return [
    heading('Recoveries', 'seconds of the rank for which the others waited'),
    scrollable(
      'table of recoveries',
      table(
        rows[0]!.map(([name]) => name),
        rows.map((cells) => h.tr(...cells.map(([name, text]) => h.td({ 'data-name': name }, text)))),
      ),
    ),
  ];
}

const ENDS: Readonly<Record<RunGeneration['end'], string>> = {
  open: '',
  lost: 'its coordinator was lost',
  // The message of the failure says how.
  restarted: '',
  failed: '',
  finished: 'finished',
  stopped: 'stopped',
};

function stepsText(from: number, to: number, more = ''): string {
  return to <= from ? DASH : `${from + 1} to ${to}${more}`;
}

/** Returns the last step of a generation; without a record, the step before the one that failed. */
function lastStepOf({ lastStep, failure }: RunGeneration): number | null {
  return lastStep ?? (failure?.step == null ? null : failure.step - 1);
}

/** Returns the last step that all ranks had finished by their last heartbeat in a generation; null without one. */
function lastBeatOf({ ranks }: RunData, span: GenerationSpan | undefined): number | null {
  if (span?.endedAt == null) return null;
  const { beganAt, endedAt } = span;
  const steps = (ranks?.ranks ?? []).flatMap(
    ({ spans }) => spans.findLast(({ from, to }) => from >= beganAt && to <= endedAt)?.step ?? [],
  );
  return steps.length === 0 ? null : Math.min(...steps) - 1;
}

function costsOf(run: RunData, detail: RunDetail): string {
  const { restarts, restartsLeft, lostSteps, lostSeconds, generations } = detail;
  const { totalMs, runningMs } = timesOf(run, Date.now());
  const resumes = generations.length - 1 - restarts;
  // The cost of a restart is unknown until its generation trains.
  const isKnown = generations.at(-2)?.end !== 'restarted' || generations.at(-1)?.recovery !== null;
  const hasCosts = restarts > 0 && (isKnown || lostSteps > 0);
  return [
    `${formatDurationMs(totalMs)} in all, ${formatDurationMs(runningMs)} without pauses`,
    restarts > 0 && `${restarts} restart${restarts === 1 ? '' : 's'}`,
    resumes > 0 && `resumed ${resumes === 1 ? 'once' : `${resumes} times`}`,
    restartsLeft !== null &&
      restarts + restartsLeft > 0 &&
      `${restartsLeft} restart${restartsLeft === 1 ? '' : 's'} left`,
    hasCosts && `${formatDurationMs(1e3 * lostSeconds)} lost`,
    hasCosts && `${lostSteps} step${lostSteps === 1 ? '' : 's'} done again`,
  ]
    .filter(Boolean)
    .join(', ');
}
