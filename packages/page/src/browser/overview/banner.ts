import type { FailureReport } from '@locmoe/run-format/failure-report';
import type { RunDetail } from '../../api-types.js';
import { contact } from '../api.js';
import { commandLine } from '../command-line.js';
import { button, fill, h, menu, refill } from '../dom.js';
import { DASH, formatClock, formatDate, formatDurationMs, formatLoss } from '../format.js';
import { setState } from '../location.js';
import { type LogLine, originOf } from '../logs/log-line.js';
import { quoted } from '../loki.js';
import type { PageState } from '../page-state.js';
import { type RunStatus, statusOf } from '../run-status.js';
import type { WarningKind } from './log-activity.js';
import { openFailure, openLine, openLogs } from './open-logs.js';

/** Maximum number of pinned kinds of warnings; the rest are in the log. */
const MAX_WARNING_PINS = 3;

/**
 * How and why a run ended, what its results mean, and the commands to continue, with a menu of the first error of each generation and
 * of warnings.
 */
export class Banner {
  readonly element = h.div({ class: 'banner' });
  readonly #firstPin = h.summary('warnings');
  readonly #pinList = h.div({ class: 'menu-body' });
  readonly pins = menu('pins', this.#firstPin, this.#pinList);

  /** @param detail null and a live run hide the banner */
  set(detail: RunDetail | null): void {
    const status = detail && statusOf(detail, contact.state);
    this.element.hidden = status === null || status.isLive;
    if (detail === null || status === null) return;
    const { ending } = status;
    const isGood = ending === 'finished' || ending === 'stopped';
    // The banner is redrawn only on changes: an alert is read out once, and a command may be selected.
    refill(this.element, keyOf(detail, status), () => {
      if (ending === null) return [];
      this.element.className = isGood ? 'banner is-good' : 'banner';
      this.element.setAttribute('role', isGood ? 'status' : 'alert');
      const isFailure = ending === 'failed' || ending === 'dead';
      const { title, cause } = textOf(detail, status);
      const text = h.div(
        { class: 'banner-text' },
        h.strong(title),
        cause !== null && h.p({ class: 'cause' }, cause),
        isGood && h.ul({ class: 'meaning' }, ...meaningOf(detail).map((sentence) => h.li(sentence))),
        isFailure && h.dl(...facts(detail.failure ?? {})),
        ...commandsOf(detail, status),
      );
      return [text, isFailure && h.div({ class: 'banner-actions' }, ...actionsOf(detail))];
    });
  }

  /**
   * Pins the first error of each generation, and below them the newest kinds of warnings. Only the first pin
   * is shown outside the menu.
   */
  setPins(runId: string, errors: readonly LogLine[], warnings: readonly WarningKind[]): void {
    const pinned = [
      ...errors.map((line) => ({
        line,
        title: `First error of generation ${line.labels.generation ?? '?'}`,
        kind: 'pin',
      })),
      ...warnings.slice(0, MAX_WARNING_PINS).map(({ line, count }) => {
        return { line, title: count === 1 ? 'warn' : `warn, ${count} alike`, kind: 'pin is-warning' };
      }),
    ];
    const [first] = pinned;
    this.pins.hidden = first === undefined;
    // The pins are redrawn only on changes, as the menu may be open.
    refill(this.#pinList, [runId, pinned, warnings.length], () => {
      if (first === undefined) return [];
      this.#firstPin.className = first.kind;
      fill(this.#firstPin, ...pinParts(first), h.b(pinned.length > 1 && `+${pinned.length - 1}`));
      const more = warnings.length - MAX_WARNING_PINS;
      const openWarnings = () => openLogs(`{run=${quoted(runId)}, level="warn"}`, null);
      return [
        ...pinned.map((each) => {
          const on = { click: () => openLine(runId, each.line) };
          return h.button({ type: 'button', class: each.kind, on }, ...pinParts(each));
        }),
        more > 0 &&
          button(`${more} more kind${more === 1 ? '' : 's'} of warnings`, openWarnings, { class: 'bare' }),
      ];
    });
  }
}

function pinParts({ line, title }: { readonly line: LogLine; readonly title: string }): HTMLElement[] {
  return [
    h.span({ class: 'pin-title' }, title),
    h.time(formatClock(line.timeMs)),
    h.span({ class: 'origin' }, originOf(line)),
    h.span({ class: 'message' }, line.message),
  ];
}

/** Returns links to what explains the failure. A coordinator that was killed wrote no flight record. */
function actionsOf(detail: RunDetail): HTMLElement[] {
  const { step = null, generation = null, code = null } = detail.failure ?? {};
  const lines = step === null ? 'Last log lines' : `Log lines of step ${step}, all ranks`;
  const show = (name: string, state: Partial<PageState>) =>
    button(name, () => setState(state, { push: true }));
  return [
    button(lines, () => openFailure(detail)),
    ...(step === null ? [] : [show(`Timeline of step ${step}`, { view: 'timeline', step, generation })]),
    ...(code === null ? [] : [show('Flight record', { view: 'details', card: 'flight' })]),
  ];
}

function keyOf(detail: RunDetail, status: RunStatus): unknown {
  if (status.isLive) return null;
  const { failure, commands, endedAt, step, steps, summary } = detail;
  const heard = status.ending === 'no-contact' ? contact.lastHeardAt : 0;
  return [status, contact.state === 'ok', heard, failure, commands, endedAt, step, steps, summary];
}

/** Returns the sentences with which the run's terminal ended; none before they are written. */
function meaningOf({ summary, generation }: RunDetail): string[] {
  if (summary?.generation !== generation || !Array.isArray(summary.meaning)) return [];
  return summary.meaning.map(String);
}

function textOf(
  detail: RunDetail,
  { ending }: RunStatus,
): { readonly title: string; readonly cause: string | null } {
  const { failure, endedAt } = detail;
  const at = `step ${detail.step}${detail.steps === null ? '' : ` of ${detail.steps}`}`;
  switch (ending) {
    case 'no-contact': {
      const [who, what] = detail.isServedByCoordinator
        ? ['The coordinator', 'It has ended or was killed, stands still, or its machine cannot be reached.']
        : ['The server of this page', 'The run itself may go on.'];
      return {
        title: `${who} is gone: last heard of at ${formatDate(contact.lastHeardAt)}`,
        cause: `${what} The run was ${detail.state} then, at ${at}, loss ${formatLoss(detail.loss)}.`,
      };
    }
    case 'dead':
      return {
        title: `The coordinator of this run is gone${failure?.code == null ? '' : `: ${failure.code}`}`,
        cause:
          (failure && causeOf(failure)) ??
          `The process ended without recording why (killed, or out of memory), at ${at}; its last record is of ${endedAt === null ? DASH : formatDate(endedAt)}.`,
      };
    case 'failed':
      return {
        title: failure?.code == null ? 'This run failed' : `This run failed: ${failure.code}`,
        cause: (failure && causeOf(failure)) ?? 'Its folder does not say why; the last lines of its log may.',
      };
    default: {
      const when = endedAt === null ? '' : ` at ${formatDate(endedAt)}`;
      const why = typeof detail.summary?.end === 'string' ? `: it ${detail.summary.end}` : '';
      return ending === 'stopped'
        ? { title: `This run was stopped${when}, at ${at}`, cause: null }
        : { title: `This run finished${when}, at ${at}${why}`, cause: null };
    }
  }
}

/** Commands to run next. A server that is not the coordinator was itself started by `inspect`. */
function commandsOf(
  { commands: { inspect, resume }, isServedByCoordinator }: RunDetail,
  { ending }: RunStatus,
): HTMLElement[] {
  const isServerGone = contact.state !== 'ok';
  const made: HTMLElement[] = [];
  if (ending !== 'finished')
    made.push(
      resume === null
        ? h.p({ class: 'hint' }, 'No checkpoint was saved: it can only be started anew.')
        : commandLine('resume', resume),
    );
  if (isServerGone || isServedByCoordinator)
    made.push(commandLine(isServerGone ? 'see what became of it' : 'see it again later', inspect));
  return made;
}

/** Returns the message without its prefix (`rank 3 ...:`), which the facts repeat. */
function causeOf({ message, rank, node }: Partial<FailureReport>): string | null {
  if (message == null || (rank == null && node == null)) return message ?? null;
  return message.replace(/^(?:rank|node|step) \d+[^:]*: /, '');
}

function facts(failure: Partial<FailureReport>): HTMLElement[] {
  const told = (before: string, value: unknown) => value != null && `${before} ${value}`;
  const silent = (failure.ranks ?? [])
    .filter(({ lastHeardMs }) => lastHeardMs != null && lastHeardMs > 3_000)
    .map(({ rank, lastHeardMs }) => `rank ${rank} for ${formatDurationMs(lastHeardMs)}`);
  return [
    ...fact(
      'where',
      told('rank', failure.rank),
      told('node', failure.node),
      told('step', failure.step),
      told('layer', failure.layer),
      failure.operation,
    ),
    ...fact(
      'process',
      told('pid', failure.pid),
      told('on', failure.host),
      told('ended by', failure.signal),
      told('exit code', failure.exitCode),
    ),
    ...fact('when', !!failure.time && formatDate(failure.time), told('generation', failure.generation)),
    ...fact('silent', ...silent),
    ...fact('checkpoint', failure.checkpoint),
    ...fact('not restarted', failure.notRestarted),
  ];
}

function fact(name: string, ...parts: readonly (string | false | null | undefined)[]): HTMLElement[] {
  const text = parts.filter(Boolean).join(', ');
  return text === '' ? [] : [h.div(h.dt(name), h.dd(text))];
}
