import type { StoredFailure } from 'locmoe/run/failure-report';
import type { RunDetail } from '../../api-types.js';
import { button, fill, h, icon } from '../dom.js';
import { formatClock, formatDurationMs } from '../format.js';
import { type LogLine, originOf } from '../logs/log-line.js';

/** The failure of a run and how to resume it; below, the first error of each generation. */
export class Banner {
  readonly element = h('div', { class: 'banner', role: 'alert' });
  readonly pins = h('div', { class: 'pins' });

  /**
   * @param onFailure opens the log around a failure
   * @param onLine opens the log at a line
   */
  constructor(
    readonly onFailure: (failure: StoredFailure, detail: RunDetail) => void,
    readonly onLine: (line: LogLine) => void,
  ) {}

  set(detail: RunDetail | null): void {
    const hasFailed = detail !== null && (detail.state === 'failed' || detail.state === 'dead');
    this.element.hidden = !hasFailed;
    if (!hasFailed) {
      fill(this.element);
      return;
    }
    const failure = detail.failure ?? {};
    const title = detail.state === 'dead' ? 'The coordinator of this run is gone' : 'This run failed';
    fill(
      this.element,
      h(
        'div',
        { class: 'banner-text' },
        h('strong', {}, failure.code == null ? title : `${title}: ${failure.code}`),
        h(
          'p',
          { class: 'cause' },
          causeOf(failure) ?? 'Its folder does not say why; the last lines of its log may.',
        ),
        h('dl', {}, ...facts(failure)),
        failure.resumeCommand != null && command(failure.resumeCommand),
      ),
      h(
        'div',
        { class: 'banner-actions' },
        button(failure.step == null ? 'Last log lines' : `Log lines of step ${failure.step}, all ranks`, () =>
          this.onFailure(failure, detail),
        ),
      ),
    );
  }

  setFirstErrors(lines: readonly LogLine[]): void {
    this.pins.hidden = lines.length === 0;
    fill(
      this.pins,
      ...lines.map((line) =>
        h(
          'button',
          { type: 'button', class: 'pin', on: { click: () => this.onLine(line) } },
          h('span', { class: 'pin-title' }, `First error of generation ${line.labels.generation ?? '?'}`),
          h('time', {}, formatClock(line.timeMs)),
          h('span', { class: 'origin' }, originOf(line)),
          h('span', { class: 'message' }, line.message),
        ),
      ),
    );
  }
}

/** The message without its prefix (`rank 3 ...:`), which the facts repeat. */
function causeOf({ message, rank, node }: StoredFailure): string | null {
  if (message == null || (rank == null && node == null)) return message ?? null;
  return message.replace(/^(?:rank|node|step) \d+[^:]*: /, '');
}

function facts(failure: StoredFailure): HTMLElement[] {
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
      failure.time != null && formatClock(failure.time),
      failure.generation != null && `generation ${failure.generation}`,
    ]),
    ...fact('silent', silent),
    ...fact('checkpoint', [failure.checkpoint]),
  ];
}

function fact(name: string, parts: readonly (string | false | null | undefined)[]): HTMLElement[] {
  const text = parts.filter(Boolean).join(', ');
  return text === '' ? [] : [h('div', {}, h('dt', {}, name), h('dd', {}, text))];
}

function command(text: string): HTMLElement {
  const copy = button(icon('copy'), () => void navigator.clipboard?.writeText(text), {
    label: 'copy the command',
    class: 'bare',
  });
  return h('p', { class: 'command' }, h('span', {}, 'resume'), h('code', {}, text), copy);
}
