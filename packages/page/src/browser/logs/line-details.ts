import { button, fill, h, type IconName, icon, type Props } from '../dom.js';
import { formatDate, formatShare, timeZone } from '../format.js';
import { LineContext } from './line-context.js';
import { fieldOf, type LogLine, stepOf } from './log-line.js';

export interface DetailActions {
  readonly columns: readonly string[];
  /** Lines for the statistics of values. */
  readonly allLines: readonly LogLine[];
  filter(name: string, operator: '=' | '!=', value: string, isLabel: boolean): void;
  toggleColumn(name: string): void;
  /** Queries the lines of a step on all ranks. */
  openStep(step: string): void;
  readonly link: string;
}

/** Creates the details of a line: labels and fields with filter buttons, context, and the raw text. */
export function lineDetails(line: LogLine, actions: DetailActions): HTMLElement {
  const place = h.div({ class: 'context-place' });
  const showContext = button('Context', () => {
    showContext.disabled = true;
    const context = new LineContext(line);
    fill(place, context.element);
    void context.load();
  });
  const step = stepOf(line);
  const element = h.div(
    { class: 'details' },
    h.div(
      { class: 'details-actions' },
      h.time(`${formatDate(line.timeMs)} ${timeZone(line.timeMs)}`),
      showContext,
      step !== '' && button(`Step ${step} on all ranks`, () => actions.openStep(step)),
      copyButton('Copy line', line.text),
      copyButton('Copy link', actions.link),
    ),
    place,
    h.div(
      { class: 'fields' },
      ...fieldTable('Labels', Object.entries(line.labels), true, line, actions),
      ...fieldTable('Fields', Object.entries(line.fields), false, line, actions),
    ),
    h.pre({ class: 'raw' }, prettyText(line.text)),
  );
  element.addEventListener('click', (event) => event.stopPropagation());
  return element;
}

function copyButton(text: string, value: string): HTMLButtonElement {
  const made = button(text, () => {
    void navigator.clipboard?.writeText(value).then(() => {
      made.textContent = 'Copied';
    });
  });
  return made;
}

function fieldTable(
  title: string,
  entries: readonly (readonly [string, string])[],
  isLabel: boolean,
  line: LogLine,
  actions: DetailActions,
): HTMLElement[] {
  const shown = isLabel ? entries : entries.filter(([name, value]) => line.labels[name] !== value);
  if (shown.length === 0) return [];
  const rows = shown.map(([name, value]) => {
    const isColumn = actions.columns.includes(name);
    // `detected_level` is not a stream label, so a selector cannot match it.
    const isSelectable = isLabel && name !== 'detected_level';
    const filter = (operator: '=' | '!=') => () => actions.filter(name, operator, value, isSelectable);
    const tool = (name: IconName, label: string, onClick: () => void, props: Props = {}) =>
      button(icon(name), onClick, { label, class: 'bare', ...props });
    const pressed = { 'aria-pressed': String(isColumn) };
    const eye = `${isColumn ? 'hide' : 'show'} ${name} as a column`;
    return h.tr(
      h.td(
        { class: 'field-buttons' },
        tool('plus', `only lines where ${name} is ${value}`, filter('=')),
        tool('minus', `only lines where ${name} is not ${value}`, filter('!=')),
        tool('eye', eye, () => actions.toggleColumn(name), pressed),
      ),
      h.th({ scope: 'row' }, name),
      h.td({ class: 'value' }, value),
      h.td({ class: 'stats' }, statsOf(name, value, actions.allLines)),
    );
  });
  return [h.table(h.caption(title), h.tbody(...rows))];
}

/** Returns the share of the loaded lines with this value, and the number of distinct values. */
function statsOf(name: string, value: string, lines: readonly LogLine[]): string {
  const values = lines.flatMap((line) => fieldOf(line, name) ?? []);
  const same = values.filter((each) => each === value).length;
  if (values.length === 0) return '';
  const numValues = new Set(values).size;
  return `${formatShare(same / values.length)} of ${values.length}, ${numValues} ${numValues === 1 ? 'value' : 'values'}`;
}

function prettyText(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
