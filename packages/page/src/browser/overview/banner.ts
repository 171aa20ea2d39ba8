import type { FailureReport } from '@locmoe/run-format/failure-report';
import type { RunDetail } from '../../api-types.js';
import { commandLine } from '../command-line.js';
import { button, fill, h } from '../dom.js';
import { DASH, formatClock, formatDate, formatDurationMs, formatLoss } from '../format.js';
import { setState } from '../location.js';
import { type LogLine, originOf } from '../logs/log-line.js';
import type { PageState } from '../page-state.js';
import type { RunStatus } from '../run-status.js';
import type { WarningKind } from './log-activity.js';

/** More kinds of warnings are left to the log. */
const MAX_WARNING_PINS = 3;

/** A run, and what is known of its server. */
interface BannerInput {
  readonly detail: RunDetail;
  readonly status: RunStatus;
  /** The server of the page does not answer. */
  readonly isServerGone: boolean;
  /** ms since 1970. */
  readonly lastHeardAt: number;
}

/** How a run ended, why, and the commands to go on; below, the first error of each generation, and warnings. */
export class Banner {
  readonly element = h('div', { class: 'banner' });
  readonly pins = h('div', { class: 'pins' });
  #shown = '';

  /**
   * @param onFailure opens the log around a failure
   * @param onLine opens the log at a line
   * @param onWarnings opens the log with all warnings
   */
  constructor(
    private readonly onFailure: (failure: Partial<FailureReport>, detail: RunDetail) => void,
    private readonly onLine: (line: LogLine) => void,
    private readonly onWarnings: () => void,
  ) {}

  /** Null, and a run that goes on, hide it. */
  set(input: BannerInput | null): void {
    const ending = input?.status.ending ?? null;
    this.element.hidden = ending === null;
    // Unchanged, it is kept: a command of it may be selected, and an alert is read once.
    const shown = input === null || ending === null ? '' : keyOf(input);
    if (shown === this.#shown) return;
    this.#shown = shown;
    if (input === null || ending === null) {
      fill(this.element);
      return;
    }
    const isGood = ending === 'finished' || ending === 'stopped';
    this.element.className = isGood ? 'banner is-good' : 'banner';
    this.element.setAttribute('role', isGood ? 'status' : 'alert');
    const { detail } = input;
    const failure = detail.failure ?? {};
    const text = textOf(input);
    const isFailure = ending === 'failed' || ending === 'dead';
    fill(
      this.element,
      h(
        'div',
        { class: 'banner-text' },
        h('strong', {}, text.title),
        text.cause !== null && h('p', { class: 'cause' }, text.cause),
        isFailure && h('dl', {}, ...facts(failure)),
        ...commandsOf(input),
      ),
      isFailure && h('div', { class: 'banner-actions' }, ...this.#actions(failure, detail)),
    );
  }

  /** Links to what explains the failure. A coordinator that died without a word wrote no flight record. */
  #actions(failure: Partial<FailureReport>, detail: RunDetail): HTMLElement[] {
    const { step = null, generation = null } = failure;
    const lines = step === null ? 'Last log lines' : `Log lines of step ${step}, all ranks`;
    const show = (name: string, state: Partial<PageState>) =>
      button(name, () => setState(state, { push: true }));
    return [
      button(lines, () => this.onFailure(failure, detail)),
      ...(step === null ? [] : [show(`Timeline of step ${step}`, { view: 'timeline', step, generation })]),
      ...(failure.code == null ? [] : [show('Flight record', { view: 'details', card: 'flight' })]),
    ];
  }

  /** Pins the first error of each generation, and below them the newest kinds of warnings. */
  setPins(errors: readonly LogLine[], warnings: readonly WarningKind[]): void {
    this.pins.hidden = errors.length + warnings.length === 0;
    const more = warnings.length - MAX_WARNING_PINS;
    fill(
      this.pins,
      ...errors.map((line) => this.#pin(line, `First error of generation ${line.labels.generation ?? '?'}`)),
      ...warnings
        .slice(0, MAX_WARNING_PINS)
        .map(({ line, count }) =>
          this.#pin(line, count === 1 ? 'warn' : `warn, ${count} alike`, 'is-warning'),
        ),
      more > 0 &&
        button(`${more} more kind${more === 1 ? '' : 's'} of warnings`, () => this.onWarnings(), {
          class: 'bare',
        }),
    );
  }

  #pin(line: LogLine, title: string, kind = ''): HTMLElement {
    return h(
      'button',
      {
        type: 'button',
        class: `pin ${kind}`,
        title: line.message,
        on: { click: () => this.onLine(line) },
      },
      h('span', { class: 'pin-title' }, title),
      h('time', {}, formatClock(line.timeMs)),
      h('span', { class: 'origin' }, originOf(line)),
      h('span', { class: 'message' }, line.message),
    );
  }
}

function keyOf({ detail, status, isServerGone, lastHeardAt }: BannerInput): string {
  const { failure, commands, endedAt, step, steps, summary } = detail;
  const heard = status.ending === 'no-contact' ? lastHeardAt : 0;
  return JSON.stringify([status, isServerGone, heard, failure, commands, endedAt, step, steps, summary?.end]);
}

function textOf(input: BannerInput): { readonly title: string; readonly cause: string | null } {
  const { detail, status, lastHeardAt } = input;
  const { failure, endedAt } = detail;
  const at = `step ${detail.step}${detail.steps === null ? '' : ` of ${detail.steps}`}`;
  switch (status.ending) {
    case 'no-contact': {
      const [who, what] = detail.isServedByCoordinator
        ? ['The coordinator', 'It has ended or was killed, stands still, or its machine cannot be reached.']
        : ['The server of this page', 'The run itself may go on.'];
      return {
        title: `${who} is gone: last heard of at ${formatDate(lastHeardAt)}`,
        cause: `${what} The run was ${detail.state} then, at ${at}, loss ${formatLoss(detail.loss)}.`,
      };
    }
    case 'dead':
      return {
        title: `The coordinator of this run is gone${failure?.code == null ? '' : `: ${failure.code}`}`,
        cause:
          (failure && causeOf(failure)) ??
          `It left without a word (killed, or out of memory), at ${at}; its last record is of ${endedAt === null ? DASH : formatDate(endedAt)}.`,
      };
    case 'failed':
      return {
        title: failure?.code == null ? 'This run failed' : `This run failed: ${failure.code}`,
        cause: (failure && causeOf(failure)) ?? 'Its folder does not say why; the last lines of its log may.',
      };
    default: {
      const when = endedAt === null ? '' : ` at ${formatDate(endedAt)}`;
      const why = typeof detail.summary?.end === 'string' ? `: it ${detail.summary.end}` : '';
      return status.ending === 'stopped'
        ? { title: `This run was stopped${when}, at ${at}`, cause: null }
        : { title: `This run finished${when}, at ${at}${why}`, cause: null };
    }
  }
}

/** Commands to run next. A server that is not the coordinator was itself started by `inspect`. */
function commandsOf({ detail, status, isServerGone }: BannerInput): (HTMLElement | null)[] {
  const { inspect, resume } = detail.commands;
  const goesOn = status.ending !== 'finished' && resume !== null;
  const isLost = isServerGone || detail.isServedByCoordinator;
  return [
    goesOn ? commandLine('resume', resume) : null,
    status.ending !== 'finished' && resume === null
      ? h('p', { class: 'hint' }, 'No checkpoint was saved: it can only be started anew.')
      : null,
    isLost ? commandLine(isServerGone ? 'see what became of it' : 'see it again later', inspect) : null,
  ];
}

/** The message without its prefix (`rank 3 ...:`), which the facts repeat. */
function causeOf({ message, rank, node }: Partial<FailureReport>): string | null {
  if (message == null || (rank == null && node == null)) return message ?? null;
  return message.replace(/^(?:rank|node|step) \d+[^:]*: /, '');
}

function facts(failure: Partial<FailureReport>): HTMLElement[] {
  const process = [
    failure.pid != null && `pid ${failure.pid}`,
    failure.host != null && `on ${failure.host}`,
    failure.signal != null && `ended by ${failure.signal}`,
    failure.exitCode != null && `exit code ${failure.exitCode}`,
  ];
  const place = [
    failure.rank != null && `rank ${failure.rank}`,
    failure.node != null && `node ${failure.node}`,
    failure.step != null && `step ${failure.step}`,
    failure.layer != null && `layer ${failure.layer}`,
    failure.operation,
  ];
  const silent = (failure.ranks ?? [])
    .filter(({ lastHeardMs }) => lastHeardMs != null && lastHeardMs > 3_000)
    .map(({ rank, lastHeardMs }) => `rank ${rank} for ${formatDurationMs(lastHeardMs)}`);
  return [
    ...fact('where', place),
    ...fact('process', process),
    ...fact('when', [
      !!failure.time && formatDate(failure.time),
      failure.generation != null && `generation ${failure.generation}`,
    ]),
    ...fact('silent', silent),
    ...fact('checkpoint', [failure.checkpoint]),
    ...fact('not restarted', [failure.notRestarted]),
  ];
}

function fact(name: string, parts: readonly (string | false | null | undefined)[]): HTMLElement[] {
  const text = parts.filter(Boolean).join(', ');
  return text === '' ? [] : [h('div', {}, h('dt', {}, name), h('dd', {}, text))];
}
