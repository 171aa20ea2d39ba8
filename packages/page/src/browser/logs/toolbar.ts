import { button, fill, h, icon } from '../dom.js';
import { linkTo, pageState, setState } from '../location.js';
import type { PageState } from '../page-state.js';

export interface ToolbarActions {
  toggleLive(): void;
  togglePause(): void;
  clear(): void;
  download(kind: 'txt' | 'json'): void;
}

/** The row between histogram and lines: live tail, status, how lines are shown, downloads. */
export class Toolbar {
  readonly element: HTMLElement;
  readonly #status = h('span', { class: 'status', role: 'status' });
  readonly #tailStatus = h('span', { class: 'tail-status', role: 'status' });
  readonly #live: HTMLButtonElement;
  readonly #pause: HTMLButtonElement;
  readonly #clear: HTMLButtonElement;
  readonly #downloads: readonly HTMLButtonElement[];
  readonly #order = button('', () =>
    setState({ order: pageState().order === 'newest' ? 'oldest' : 'newest' }),
  );
  readonly #wrap = button('Wrap', () => setState({ wrap: !pageState().wrap }));
  readonly #dedup = h(
    'select',
    { 'aria-label': 'deduplication' },
    ...['none', 'exact', 'numbers', 'signature'].map((kind) =>
      h('option', { value: kind }, kind === 'none' ? 'no dedup' : `dedup ${kind}`),
    ),
  );

  /** @param tabs before the tools */
  constructor(actions: ToolbarActions, tabs: HTMLElement) {
    this.#live = button('Live', () => actions.toggleLive(), { class: 'live', 'aria-pressed': 'false' });
    this.#pause = button('Pause', () => actions.togglePause());
    this.#clear = button('Clear', () => actions.clear());
    this.#dedup.addEventListener('change', () =>
      setState({ dedup: this.#dedup.value as PageState['dedup'] }),
    );
    this.#downloads = [
      button('.txt', () => actions.download('txt'), { title: 'download the lines as text' }),
      button('.json', () => actions.download('json'), { title: 'download the lines as JSON' }),
    ];
    this.element = h(
      'div',
      { class: 'toolbar', role: 'toolbar', 'aria-label': 'log tools' },
      tabs,
      this.#live,
      this.#pause,
      this.#clear,
      this.#tailStatus,
      this.#status,
      h('span', { class: 'spacer' }),
      this.#order,
      this.#wrap,
      this.#dedup,
      ...this.#downloads,
      button(icon('link'), () => void navigator.clipboard?.writeText(linkTo({})), {
        label: 'copy a link to this view',
      }),
    );
  }

  /** @param hasLines false where series or patterns are shown */
  show(
    state: PageState,
    tail: { readonly isRunning: boolean; readonly isPaused: boolean },
    hasLines: boolean,
  ): void {
    for (const tool of [this.#live, this.#order, this.#wrap, this.#dedup, ...this.#downloads])
      tool.hidden = !hasLines;
    this.#live.setAttribute('aria-pressed', String(state.live));
    this.#pause.hidden = !tail.isRunning;
    this.#clear.hidden = !tail.isRunning;
    fill(this.#pause, tail.isPaused ? 'Resume' : 'Pause');
    fill(this.#order, state.order === 'newest' ? 'Newest first' : 'Oldest first');
    this.#wrap.setAttribute('aria-pressed', String(state.wrap));
    this.#dedup.value = state.dedup;
  }

  showStatus(text: string): void {
    fill(this.#status, text);
  }

  /** Shown as a warning; empty for none. */
  showTailStatus(text: string): void {
    fill(this.#tailStatus, text);
    this.#tailStatus.classList.toggle('is-warning', text !== '');
  }
}
