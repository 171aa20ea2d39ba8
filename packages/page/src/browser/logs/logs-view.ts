import { RequestError } from '../api.js';
import { button, fill, h } from '../dom.js';
import { formatBytes, formatCount } from '../format.js';
import { linkTo, onState, pageState, setState } from '../location.js';
import { runSelector, stepQuery } from '../loki.js';
import type { PageState } from '../page-state.js';
import { CompletionSource } from './completion-source.js';
import { downloadLines } from './download.js';
import { Histogram } from './histogram.js';
import { LineContext } from './line-context.js';
import { lineDetails } from './line-details.js';
import { LineList, type ListStyle } from './line-list.js';
import { LiveTail } from './live-tail.js';
import type { LogLine } from './log-line.js';
import { linesOf } from './log-lines.js';
import {
  fetchNextPage,
  fetchResult,
  fetchVolume,
  type LogRequest,
  PAGE_LINES,
  stepOf,
} from './log-requests.js';
import { MetricResult } from './metric-result.js';
import { withPattern } from './pattern-edit.js';
import { PatternsView } from './patterns-view.js';
import { QueryBar } from './query-bar.js';
import {
  highlightOf,
  isMetricQuery,
  levelsIn,
  withField,
  withLabel,
  withLevelToggled,
} from './query-edit.js';
import { Tabs } from './tabs.js';
import { type RunTimes, resolveRange, TimeRangePicker } from './time-range.js';
import { Toolbar } from './toolbar.js';

/** Rows that a live tail keeps; the browser lays out only those in sight. */
const LIVE_ROWS = 1_000;
/** A change of these needs a new request; a change of the others only a new layout. */
const REQUEST_FIELDS: readonly (keyof PageState)[] = [
  ...(['run', 'query', 'from', 'to', 'order', 'live', 'tab'] as const),
];
const STYLE_FIELDS: readonly (keyof PageState)[] = ['wrap', 'dedup', 'columns'];

/** The second view: searches and follows the log of a run. */
export class LogsView {
  readonly element: HTMLElement;
  readonly #queryBar = new QueryBar({
    completions: new CompletionSource(() => this.#range),
    runId: () => this.#runId,
    onQuery: (query) => this.#setQuery(query),
  });
  readonly #timeRange = new TimeRangePicker((range) =>
    setState({ ...range, line: null, live: false }, { push: true }),
  );
  readonly #histogram = new Histogram(
    (names, adds) => this.#setQuery(withLevelToggled(this.#query, names, adds)),
    ([from, to]) =>
      setState(
        { from: String(Math.floor(from)), to: String(Math.ceil(to)), live: false, line: null },
        { push: true },
      ),
  );
  readonly #list = new LineList(
    (line) => this.#detailsOf(line),
    (name) => this.#toggleColumn(name),
  );
  readonly #metric = new MetricResult();
  readonly #patterns = new PatternsView((pattern, use) =>
    this.#setQuery(withPattern(this.#query, pattern, use)),
  );
  readonly #more = button('Older lines', () => void this.#loadMore(), { class: 'more' });
  readonly #tail = new LiveTail({
    lines: (lines) => this.#addLive(lines),
    status: (text) => this.#toolbar.showTailStatus(text),
    // A WebSocket cannot say why it was refused; the same query over HTTP can.
    refused: () => void this.#showResult(this.#request.signal).catch((error) => this.#showError(error)),
    refresh: () => {
      this.#showCounts();
      if (!this.#tail.isPaused && !document.hidden)
        void this.#showVolume(this.#request.signal).catch((error) => this.#showError(error));
    },
  });
  readonly #linesPanel = h('div', { id: 'log-lines' }, this.#metric.element, this.#list.element, this.#more);
  readonly #patternsPanel = h('div', { id: 'log-patterns' }, this.#patterns.element);
  readonly #tabs = new Tabs(
    'the log as',
    {
      lines: { text: 'Lines', panel: this.#linesPanel },
      patterns: { text: 'Patterns', panel: this.#patternsPanel },
    },
    (tab) => setState({ tab, live: false, line: null }),
  );
  readonly #toolbar = new Toolbar(
    {
      toggleLive: () => this.toggleLive(),
      togglePause: () => this.togglePause(),
      clear: () => this.#list.set([], this.#style),
      download: (kind) => downloadLines(this.#list.lines, kind, `${this.#runId}-log`),
    },
    this.#tabs.element,
  );
  #times: RunTimes | null = null;
  #runId = '';
  /** Aborted by the next request. */
  #request = new AbortController();
  #shownKey = '';

  constructor() {
    this.element = h(
      'main',
      { class: 'logs' },
      h('div', { class: 'query-row' }, this.#queryBar.element, this.#timeRange.element),
      this.#histogram.element,
      this.#toolbar.element,
      this.#linesPanel,
      this.#patternsPanel,
    );
    this.#more.hidden = true;
    this.#toolbar.show(pageState(), this.#tail, true);
    this.#tabs.show(pageState().tab);
    onState((state, before) => this.#onState(state, before));
  }

  /** Sets the run; its log is fetched when the view is first visible. */
  show(runId: string, times: RunTimes): void {
    this.#times = times;
    this.#runId = runId;
    if (!this.element.hidden && this.#shownKey !== this.#requestKey) void this.run();
  }

  /** Runs the query of the page's state. */
  async run(): Promise<void> {
    if (this.#times === null) return;
    this.#shownKey = this.#requestKey;
    this.#request.abort();
    this.#request = new AbortController();
    const { signal } = this.#request;
    this.#tail.stop();
    this.#showControls();
    try {
      if (pageState().live) return this.#startTail();
      const show = this.#tab === 'patterns' ? this.#showPatterns(signal) : this.#showResult(signal);
      await Promise.all([show, this.#showVolume(signal)]);
    } catch (error) {
      this.#showError(error);
    }
  }

  focusQuery(): void {
    this.#queryBar.focus();
  }

  /** Moves the focus by rows. */
  move(by: number): void {
    this.#list.move(by);
  }

  toggleLive(): void {
    setState({ live: !pageState().live, tab: 'lines', line: null });
  }

  togglePause(): void {
    this.#tail.togglePause();
    this.#showControls();
  }

  get #query(): string {
    return pageState().query || runSelector(this.#runId);
  }

  /** A metric query has no patterns. */
  get #tab(): PageState['tab'] {
    return isMetricQuery(this.#query) ? 'lines' : pageState().tab;
  }

  /** ms since 1970. */
  get #range(): readonly [number, number] {
    const times = this.#times ?? { startedAt: 0, end: Date.now(), isLive: false };
    return resolveRange(pageState(), times.isLive ? { ...times, end: Date.now() } : times);
  }

  get #logRequest(): LogRequest {
    return { query: this.#query, range: this.#range, order: pageState().order };
  }

  /** Differs if another request is needed. */
  get #requestKey(): string {
    const state = pageState();
    return JSON.stringify([this.#runId, ...REQUEST_FIELDS.map((name) => state[name])]);
  }

  get #style(): ListStyle {
    const { order, wrap, dedup, columns } = pageState();
    return { order, wrap, dedup, columns, highlight: highlightOf(this.#query) };
  }

  #onState(state: PageState, before: PageState): void {
    if (state.view !== 'logs') {
      this.#tail.stop();
      // The tail has stopped, so the view is out of date when it is opened again.
      if (state.live) this.#shownKey = '';
      return;
    }
    if (this.#shownKey !== this.#requestKey) {
      void this.run();
      return;
    }
    if (STYLE_FIELDS.some((name) => state[name] !== before[name])) {
      this.#list.set(this.#list.lines, this.#style);
      this.#showControls();
    }
    if (state.line !== before.line && state.line !== null) this.#list.openAt(state.line);
  }

  async #showResult(signal: AbortSignal): Promise<void> {
    const request = this.#logRequest;
    const { line } = pageState();
    // The rows are those of the last query until the answer comes.
    this.#list.element.setAttribute('aria-busy', 'true');
    const data = await fetchResult(request, signal);
    this.#list.element.setAttribute('aria-busy', 'false');
    this.#queryBar.showError(null);
    this.#metric.element.hidden = data.resultType !== 'matrix';
    this.#list.element.hidden = data.resultType === 'matrix';
    if (data.resultType === 'matrix') {
      this.#more.hidden = true;
      this.#metric.set(data.result, request.range, stepOf(request.range));
      this.#toolbar.showStatus(`${data.result.length} series`);
      return;
    }
    const lines = linesOf(data.result);
    this.#list.set(lines, this.#style);
    this.#more.hidden = lines.length < PAGE_LINES;
    this.#showCounts();
    if (line !== null) this.#list.openAt(line);
  }

  async #showPatterns(signal: AbortSignal): Promise<void> {
    this.#toolbar.showStatus('counting …');
    const summary = await this.#patterns.load(this.#logRequest, signal);
    this.#queryBar.showError(null);
    this.#toolbar.showStatus(summary);
  }

  async #showVolume(signal: AbortSignal): Promise<void> {
    const isMetric = isMetricQuery(this.#query);
    this.#histogram.element.hidden = isMetric;
    if (!isMetric) this.#histogram.set(await fetchVolume(this.#logRequest, signal), levelsIn(this.#query));
  }

  async #loadMore(): Promise<void> {
    const request = this.#logRequest;
    const last = this.#list.lines.at(request.order === 'newest' ? 0 : -1);
    if (last === undefined) return;
    this.#more.disabled = true;
    try {
      const lines = await fetchNextPage(request, last);
      const numBefore = this.#list.lines.length;
      this.#list.add(lines);
      this.#more.hidden = lines.length < PAGE_LINES || this.#list.lines.length === numBefore;
      this.#showCounts();
    } catch (error) {
      this.#showError(error);
    }
    this.#more.disabled = false;
  }

  #startTail(): void {
    this.#list.element.hidden = false;
    this.#list.element.setAttribute('aria-busy', 'false');
    this.#metric.element.hidden = true;
    this.#more.hidden = true;
    this.#list.set([], this.#style);
    this.#queryBar.showError(null);
    this.#tail.start(this.#query);
    this.#showControls();
  }

  #addLive(lines: readonly LogLine[]): void {
    const isAtEnd = isNearEnd();
    this.#list.add(lines.slice(-LIVE_ROWS), { isNew: true, maxRows: LIVE_ROWS });
    if (pageState().order === 'oldest' && isAtEnd) scrollTo({ top: document.body.scrollHeight });
    this.#showCounts();
  }

  #showControls(): void {
    const state = pageState();
    this.#queryBar.show(this.#query);
    this.#timeRange.show(state, this.#range);
    const tab = this.#tab;
    const isMetric = isMetricQuery(this.#query);
    this.#tabs.show(tab);
    this.#tabs.element.hidden = isMetric;
    this.#linesPanel.hidden = tab !== 'lines';
    this.#patternsPanel.hidden = tab !== 'patterns';
    this.#toolbar.show(state, this.#tail, tab === 'lines' && !isMetric);
    fill(this.#more, state.order === 'newest' ? 'Older lines' : 'Later lines');
  }

  #showCounts(): void {
    const { lines, numRows } = this.#list;
    if (lines.length === 0 && !this.#tail.isRunning) {
      this.#toolbar.showStatus('No lines. Try a longer time range or fewer filters.');
      return;
    }
    const bytes = lines.reduce((sum, { text }) => sum + text.length, 0);
    const rows = numRows === lines.length ? '' : ` in ${formatCount(numRows)} rows`;
    const waiting = this.#tail.isPaused ? `, ${formatCount(this.#tail.numWaiting)} waiting` : '';
    this.#toolbar.showStatus(`${formatCount(lines.length)} lines${rows}, ${formatBytes(bytes)}${waiting}`);
  }

  #showError(error: unknown): void {
    if (error instanceof Error && error.name === 'AbortError') return;
    const message = error instanceof Error ? error.message : String(error);
    const isMissing = error instanceof RequestError && error.status === 404;
    this.#queryBar.showError(isMissing ? 'this server has no log store' : message);
    this.#toolbar.showStatus('');
    this.#list.element.setAttribute('aria-busy', 'false');
    this.#list.set([], this.#style);
    this.#list.element.hidden = true;
    this.#patterns.clear();
    this.#metric.element.hidden = true;
    // The histogram still shows the query before.
    this.#histogram.element.hidden = true;
    this.#more.hidden = true;
  }

  #setQuery(query: string): void {
    if (query === this.#query) void this.run();
    else setState({ query, line: null }, { push: true });
  }

  #toggleColumn(name: string): void {
    const { columns } = pageState();
    setState({
      columns: columns.includes(name) ? columns.filter((each) => each !== name) : [...columns, name],
    });
  }

  #detailsOf(line: LogLine): HTMLElement {
    return lineDetails(line, {
      columns: pageState().columns,
      allLines: this.#list.lines,
      filter: (name, operator, value, isLabel) =>
        this.#setQuery((isLabel ? withLabel : withField)(this.#query, name, operator, value)),
      toggleColumn: (name) => this.#toggleColumn(name),
      openStep: (step) => this.#setQuery(stepQuery(this.#runId, step)),
      link: ({ ns }) => {
        const [from, to] = this.#range;
        return linkTo({
          line: ns,
          live: false,
          from: String(Math.floor(from)),
          to: String(Math.ceil(to)),
          run: this.#runId,
        });
      },
      context: (of) => new LineContext(of),
    });
  }
}

function isNearEnd(): boolean {
  return window.innerHeight + window.scrollY > document.body.scrollHeight - 80;
}
