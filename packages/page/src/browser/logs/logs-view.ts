import { problemOf, RequestError } from '../api.js';
import { h } from '../dom.js';
import { formatBytes, formatCount } from '../format.js';
import { linkTo, onState, pageState, setState } from '../location.js';
import { runSelector, stepQuery } from '../loki.js';
import { type PageState, rangeState, toggled } from '../page-state.js';
import { CompletionSource } from './completion-source.js';
import { downloadLines } from './download.js';
import { Histogram } from './histogram.js';
import { lineDetails } from './line-details.js';
import { LineList, type ListStyle } from './line-list.js';
import { LinesPanel } from './lines-panel.js';
import type { LogLine } from './log-line.js';
import { fetchResult, fetchVolume, type LogRequest } from './log-requests.js';
import { withPattern } from './pattern-edit.js';
import { PatternsView } from './patterns-view.js';
import { QueryBar } from './query-bar.js';
import * as edit from './query-edit.js';
import { Tabs } from './tabs.js';
import { Tail } from './tail.js';
import { type RunTimes, resolveRange, TimeRangePicker } from './time-range.js';
import { Toolbar } from './toolbar.js';

/** Rows that a live tail keeps; the browser lays out only those in sight. */
const LIVE_ROWS = 1_000;
/** A change of a request field needs a new request; a change of a style field only a new layout. */
const REQUEST_FIELDS = ['run', 'query', 'from', 'to', 'order', 'live', 'tab'] as const;
const STYLE_FIELDS = ['wrap', 'dedup', 'columns'] as const;

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
    (names, adds) => this.#setQuery(edit.withLevelToggled(this.#query, names, adds)),
    (range) => setState({ ...rangeState(range), live: false, line: null }, { push: true }),
  );
  readonly #list = new LineList(
    (line) => this.#detailsOf(line),
    (name) => this.#toggleColumn(name),
  );
  readonly #lines = new LinesPanel(this.#list, () => void this.#loadMore());
  readonly #patterns = new PatternsView((pattern, use) =>
    this.#setQuery(withPattern(this.#query, pattern, use)),
  );
  readonly #tail = new Tail({
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
  readonly #patternsPanel = h.div({ id: 'log-patterns' }, this.#patterns.element);
  readonly #tabs = new Tabs(
    'the log as',
    {
      lines: { text: 'Lines', panel: this.#lines.element },
      patterns: { text: 'Patterns', panel: this.#patternsPanel },
    },
    (tab) => setState({ tab, live: false, line: null }),
  );
  readonly #toolbar = new Toolbar(
    {
      toggleLive: () => this.toggleLive(),
      togglePause: () => this.togglePause(),
      clear: () => this.#lines.clear(this.#style),
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
    this.element = h.main(
      { class: 'logs' },
      h.div({ class: 'query-row' }, this.#queryBar.element, this.#timeRange.element),
      this.#histogram.element,
      this.#toolbar.element,
      this.#lines.element,
      this.#patternsPanel,
    );
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
    return edit.isMetricQuery(this.#query) ? 'lines' : pageState().tab;
  }

  get #range(): readonly [number, number] {
    const times = this.#times ?? { startedAt: 0, end: Date.now(), isLive: false };
    return resolveRange(pageState(), times.isLive ? { ...times, end: Date.now() } : times);
  }

  get #logRequest(): LogRequest {
    return { query: this.#query, range: this.#range, order: pageState().order };
  }

  get #requestKey(): string {
    const state = pageState();
    return JSON.stringify([this.#runId, ...REQUEST_FIELDS.map((name) => state[name])]);
  }

  get #style(): ListStyle {
    const { order, wrap, dedup, columns } = pageState();
    return { order, wrap, dedup, columns, highlight: edit.highlightOf(this.#query) };
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
    this.#lines.wait();
    const data = await fetchResult(request, signal);
    this.#queryBar.showError(null);
    const numSeries = this.#lines.set(data, request, this.#style);
    if (numSeries === null) this.#showCounts();
    else this.#toolbar.showStatus(`${numSeries} series`);
    if (numSeries === null && line !== null) this.#list.openAt(line);
  }

  async #showPatterns(signal: AbortSignal): Promise<void> {
    this.#toolbar.showStatus('counting …');
    const summary = await this.#patterns.load(this.#logRequest, signal);
    this.#queryBar.showError(null);
    this.#toolbar.showStatus(summary);
  }

  async #showVolume(signal: AbortSignal): Promise<void> {
    const isMetric = edit.isMetricQuery(this.#query);
    this.#histogram.element.hidden = isMetric;
    if (!isMetric)
      this.#histogram.set(await fetchVolume(this.#logRequest, signal), edit.levelsIn(this.#query));
  }

  async #loadMore(): Promise<void> {
    try {
      await this.#lines.loadMore(this.#logRequest);
      this.#showCounts();
    } catch (error) {
      this.#showError(error);
    }
  }

  #startTail(): void {
    this.#lines.clear(this.#style);
    this.#queryBar.showError(null);
    this.#tail.start(this.#query);
    this.#showControls();
  }

  #addLive(lines: readonly LogLine[]): void {
    const isAtEnd = window.innerHeight + window.scrollY > document.body.scrollHeight - 80;
    this.#list.add(lines.slice(-LIVE_ROWS), { isNew: true, maxRows: LIVE_ROWS });
    if (pageState().order === 'oldest' && isAtEnd) scrollTo({ top: document.body.scrollHeight });
    this.#showCounts();
  }

  #showControls(): void {
    const state = pageState();
    this.#queryBar.show(this.#query);
    this.#timeRange.show(state, this.#range);
    const tab = this.#tab;
    const isMetric = edit.isMetricQuery(this.#query);
    this.#tabs.show(tab);
    this.#tabs.element.hidden = isMetric;
    this.#lines.element.hidden = tab !== 'lines';
    this.#patternsPanel.hidden = tab !== 'patterns';
    this.#toolbar.show(state, this.#tail, tab === 'lines' && !isMetric);
    this.#lines.showOrder(state.order);
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
    const isMissing = error instanceof RequestError && error.status === 404;
    this.#queryBar.showError(isMissing ? 'this server has no log store' : problemOf(error));
    this.#toolbar.showStatus('');
    this.#lines.clear(this.#style);
    this.#lines.hide();
    this.#patterns.clear();
    // The histogram still shows the previous query.
    this.#histogram.element.hidden = true;
  }

  #setQuery(query: string): void {
    if (query === this.#query) void this.run();
    else setState({ query, line: null }, { push: true });
  }

  #toggleColumn(name: string): void {
    setState({ columns: toggled(pageState().columns, name) });
  }

  #detailsOf(line: LogLine): HTMLElement {
    return lineDetails(line, {
      columns: pageState().columns,
      allLines: this.#list.lines,
      filter: (name, operator, value, isLabel) =>
        this.#setQuery((isLabel ? edit.withLabel : edit.withField)(this.#query, name, operator, value)),
      toggleColumn: (name) => this.#toggleColumn(name),
      openStep: (step) => this.#setQuery(stepQuery(this.#runId, step)),
      link: linkTo({ line: line.ns, live: false, ...rangeState(this.#range), run: this.#runId }),
    });
  }
}
