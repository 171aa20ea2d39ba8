import { button, h } from './dom.js';

const SHORTCUTS: readonly (readonly [string, string])[] = [
  ['1, 2, 3, 4, 5', 'overview, logs, timeline, details, routing'],
  ['r', 'choose runs'],
  ['t', 'light or dark'],
  ['/', 'write a query'],
  ['Tab, ↓, ↑', 'in the query: take what is suggested, or choose; ↑ alone: queries before this one'],
  ['Enter', 'run the query; open a line; what was recorded of the step under the cursor of a chart'],
  ['j, k or ↓, ↑', 'next, previous line'],
  ['← → ↑ ↓', 'in a chart, the ranks or the expert load: move the cursor'],
  ['← →, ↑, ↓', 'in the timeline: next span, same span of the next rank'],
  ['+, −, a, d, f', 'in the timeline: zoom, move in time, whole step'],
  ['Enter, g', 'in the timeline: zoom to the span, go to the rank that it waited for'],
  ['[, ], n, c', 'in the timeline: previous, next, newest step; one row a rank'],
  [
    '← → ↑ ↓, Enter',
    'in the routing: next token, token of the line above or below; its way over layers and ranks',
  ],
  ['[, ], n', 'in the routing: previous, next, newest recorded step'],
  ['l', 'live tail on or off'],
  ['p', 'pause or resume the tail'],
  ['0', 'all steps again'],
  ['Esc', 'close, or leave the query'],
  ['?', 'this help'],
];

export class Help {
  readonly element: HTMLDialogElement;

  constructor() {
    const rows = SHORTCUTS.map(([keys, what]) =>
      h.div(
        h.dt(...keys.split(/(, | or | )/).map((part) => (/^(, | or | )$/.test(part) ? part : h.kbd(part)))),
        h.dd(what),
      ),
    );
    this.element = h.dialog(
      { class: 'help', 'aria-label': 'keyboard shortcuts' },
      h.h2('Keyboard'),
      h.dl(...rows),
      button('Close', () => this.element.close(), { class: 'primary' }),
    );
    this.element.addEventListener('click', ({ target }) => {
      if (target === this.element) this.element.close();
    });
  }

  toggle(): void {
    if (this.element.open) this.element.close();
    else this.element.showModal();
  }
}
