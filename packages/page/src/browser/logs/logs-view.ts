import { RequestError } from '../api.js';
import { button, fill, h, icon } from '../dom.js';
import { formatBytes, formatCount } from '../format.js';
import { linkTo, onState, pageState, setState } from '../location.js';
import { nsOfMs, queryRange, querySeries, runSelector } from '../loki.js';
import type { PageState } from '../page-state.js';
import { downloadLines } from './download.js';
import { Histogram } from './histogram.js';
import { LineContext } from './line-context.js';
import { lineDetails } from './line-details.js';
import { LineList } from './line-list.js';
import { type LogLine, parseLine } from './log-line.js';
import { MetricResult } from './metric-result.js';
import { QueryBar } from './query-bar.js';
import { highlightOf, isMetricQuery, levelsIn, withField, withLabel, withLevels } from './query-edit.js';
import { Tail } from './tail.js';
import { type RunTimes, resolveRange, TimeRangePicker } from './time-range.js';

const PAGE_LINES = 500;
/** Rows that a live tail keeps; the browser lays out only those in sight. */
const LIVE_ROWS = 1_000;
const NUM_BARS = 90;
const LIVE_HISTOGRAM_MS = 4_000;
/** Lines from just before a tail began are brought too. */
const TAIL_BACK_MS = 10_000;
/** These change what is asked; the others only how it is shown. */
const ASKED: readonly (keyof PageState)[] = ['run', 'query', 'from', 'to', 'order', 'live'];
const SHOWN: readonly (keyof PageState)[] = ['wrap', 'dedup', 'columns'];

/** The second view: the log of a run, to search, narrow down and follow. */
export class LogsView {
  readonly element: HTMLElement;
  readonly #queryBar = new QueryBar((query) => this.#setQuery(query));
  readonly #timeRange = new TimeRangePicker((range) =>
    setState({ ...range, line: null, live: false }, { push: true }),
  );
  readonly #histogram = new Histogram(
    (names, adds) => this.#toggleLevel(names, adds),
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
  readonly #status = h('span', { class: 'status', role: 'status' });
  readonly #tailStatus = h('span', { class: 'tail-status', role: 'status' });
  readonly #more = button('Older lines', () => void this.#loadMore(), { class: 'more' });
  readonly #live = button('Live', () => this.toggleLive(), { class: 'live', 'aria-pressed': 'false' });
  readonly #pause = button('Pause', () => this.togglePause());
  readonly #clear = button('Clear', () => this.#list.set([], this.#style()));
  readonly #order = button('', () =>
    setState({ order: pageState().order === 'newest' ? 'oldest' : 'newest' }),
  );
  readonly #wrap = button('Wrap', () => setState({ wrap: !pageState().wrap }));
  readonly #dedup = h(
    'select',
    { 'aria-label': 'lines that say the same' },
    ...['none', 'exact', 'numbers', 'signature'].map((kind) =>
      h('option', { value: kind }, kind === 'none' ? 'no dedup' : `dedup ${kind}`),
    ),
  );
  #times: RunTimes | null = null;
  #runId = '';
  #request = new AbortController();
  #tail: Tail | null = null;
  #isPaused = false;
  #bytes = 0;
  #liveTimer: ReturnType<typeof setInterval> | undefined;
  /** What was asked last. */
  #asked = '';

  constructor() {
    this.#dedup.addEventListener('change', () =>
      setState({ dedup: this.#dedup.value as PageState['dedup'] }),
    );
    const save = (kind: 'txt' | 'json') => () => downloadLines(this.#list.lines, kind, `${this.#runId}-log`);
    const toolbar = h(
      'div',
      { class: 'toolbar', role: 'toolbar', 'aria-label': 'log tools' },
      this.#live,
      this.#pause,
      this.#clear,
      this.#tailStatus,
      this.#status,
      h('span', { class: 'spacer' }),
      this.#order,
      this.#wrap,
      this.#dedup,
      button('.txt', save('txt'), { title: 'download the lines as text' }),
      button('.json', save('json'), { title: 'download the lines as JSON' }),
      button(icon('link'), () => void navigator.clipboard?.writeText(linkTo({})), {
        label: 'copy a link to this view',
      }),
    );
    this.element = h(
      'main',
      { class: 'logs' },
      h('div', { class: 'query-row' }, this.#queryBar.element, this.#timeRange.element),
      this.#histogram.element,
      toolbar,
      this.#metric.element,
      this.#list.element,
      this.#more,
    );
    onState((state, before) => this.#onState(state, before));
  }

  /** Tells of which run the log is; the first time it is looked at, it is fetched. */
  show(runId: string, times: RunTimes): void {
    this.#times = times;
    this.#runId = runId;
    if (!this.element.hidden && this.#asked !== this.#asking) void this.run();
  }

  /** Asks anew, with the state as it is. */
  async run(): Promise<void> {
    const times = this.#times;
    if (times === null) return;
    this.#asked = this.#asking;
    this.#request.abort();
    this.#request = new AbortController();
    const { signal } = this.#request;
    this.#stopTail();
    this.#showControls();
    this.#bytes = 0;
    try {
      if (pageState().live) return this.#startTail();
      await Promise.all([this.#fetchResult(signal), this.#fetchHistogram(signal)]);
    } catch (error) {
      if (signal.aborted) return;
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
    setState({ live: !pageState().live, line: null });
  }

  togglePause(): void {
    if (this.#tail === null) return;
    this.#isPaused = !this.#isPaused;
    this.#tail.paused = this.#isPaused;
    this.#showControls();
  }

  get #query(): string {
    return pageState().query || runSelector(this.#runId);
  }

  get #range(): readonly [number, number] {
    const times = this.#times ?? { startedAt: 0, end: Date.now(), isLive: false };
    return resolveRange(pageState(), times.isLive ? { ...times, end: Date.now() } : times);
  }

  #style() {
    const { order, wrap, dedup, columns } = pageState();
    return { order, wrap, dedup, columns, highlight: highlightOf(this.#query) };
  }

  #onState(state: PageState, before: PageState): void {
    if (state.view !== 'logs') {
      this.#stopTail();
      // Its end is no answer to what was asked: it starts again.
      if (state.live) this.#asked = '';
      return;
    }
    if (this.#asked !== this.#asking) {
      void this.run();
      return;
    }
    if (SHOWN.some((name) => state[name] !== before[name])) {
      this.#list.set(this.#list.lines, this.#style());
      this.#showControls();
    }
    if (state.line !== before.line && state.line !== null) this.#list.openAt(state.line);
  }

  /** What the state asks of the store. */
  get #asking(): string {
    const state = pageState();
    return JSON.stringify([this.#runId, ...ASKED.map((name) => state[name])]);
  }

  async #fetchResult(signal: AbortSignal): Promise<void> {
    const [start, end] = this.#range;
    const { order, line } = pageState();
    const isMetric = isMetricQuery(this.#query);
    // Until they are answered, the rows shown belong to the last query and are about to go.
    this.#list.element.setAttribute('aria-busy', 'true');
    const data = await queryRange(
      {
        query: this.#query,
        start: nsOfMs(start),
        end: nsOfMs(end),
        limit: PAGE_LINES,
        direction: order === 'newest' ? 'backward' : 'forward',
        ...(isMetric ? { stepMs: this.#stepMs() } : {}),
      },
      signal,
    );
    this.#list.element.setAttribute('aria-busy', 'false');
    this.#queryBar.showError(null);
    this.#metric.element.hidden = data.resultType !== 'matrix';
    this.#list.element.hidden = data.resultType === 'matrix';
    if (data.resultType === 'matrix') {
      this.#more.hidden = true;
      this.#metric.set(data.result, this.#range);
      fill(this.#status, `${data.result.length} series`);
      return;
    }
    const lines = linesOf(data.result);
    this.#bytes = data.stats?.summary?.totalBytesProcessed ?? 0;
    this.#list.set(lines, this.#style());
    this.#more.hidden = lines.length < PAGE_LINES;
    this.#showCounts();
    if (line !== null) this.#list.openAt(line);
  }

  async #fetchHistogram(signal: AbortSignal): Promise<void> {
    if (isMetricQuery(this.#query)) {
      this.#histogram.element.hidden = true;
      return;
    }
    this.#histogram.element.hidden = false;
    const stepMs = this.#stepMs();
    const [start, end] = this.#range;
    // Windows on whole steps, so that bars keep their places.
    const aligned = [Math.floor(start / stepMs) * stepMs, Math.ceil(end / stepMs) * stepMs] as const;
    const series = await querySeries(
      {
        // Of all levels, so that others can be chosen.
        query: `sum by (level) (count_over_time(${withLevels(this.#query, [])} [${stepMs}ms]))`,
        start: nsOfMs(aligned[0] + stepMs),
        end: nsOfMs(aligned[1] + stepMs),
        stepMs,
      },
      signal,
    );
    this.#histogram.set(series, { range: aligned, stepMs, selected: levelsIn(this.#query) });
  }

  #stepMs(): number {
    const [start, end] = this.#range;
    const least = (end - start) / NUM_BARS;
    const steps = [
      100, 200, 500, 1e3, 2e3, 5e3, 10e3, 15e3, 30e3, 60e3, 120e3, 300e3, 600e3, 1800e3, 3600e3, 7200e3,
    ];
    return steps.find((step) => step >= least) ?? Math.ceil(least / 86_400e3) * 86_400e3;
  }

  async #loadMore(): Promise<void> {
    const isNewestFirst = pageState().order === 'newest';
    const edge = this.#list.lines.at(isNewestFirst ? 0 : -1);
    if (edge === undefined) return;
    this.#more.disabled = true;
    const [start, end] = this.#range;
    try {
      // Lines of the very same time may lie on both sides of the page: they come again and are not shown twice.
      const data = await queryRange({
        query: this.#query,
        start: isNewestFirst ? nsOfMs(start) : BigInt(edge.ns),
        end: isNewestFirst ? BigInt(edge.ns) + 1n : nsOfMs(end),
        limit: PAGE_LINES,
        direction: isNewestFirst ? 'backward' : 'forward',
      });
      const lines = data.resultType === 'streams' ? linesOf(data.result) : [];
      const numBefore = this.#list.lines.length;
      this.#list.add(lines);
      this.#more.hidden = lines.length < PAGE_LINES || this.#list.lines.length === numBefore;
      this.#bytes += data.stats?.summary?.totalBytesProcessed ?? 0;
      this.#showCounts();
    } catch (error) {
      this.#showError(error);
    }
    this.#more.disabled = false;
  }

  #startTail(): void {
    const start = nsOfMs(Date.now() - TAIL_BACK_MS);
    this.#list.element.hidden = false;
    this.#list.element.setAttribute('aria-busy', 'false');
    this.#metric.element.hidden = true;
    this.#more.hidden = true;
    this.#list.set([], this.#style());
    this.#queryBar.showError(null);
    this.#tail = new Tail(this.#query, start, {
      lines: (lines) => {
        const isAtEnd = isNearEnd();
        this.#list.add(lines.slice(-LIVE_ROWS), { isFresh: true, maxRows: LIVE_ROWS });
        if (pageState().order === 'oldest' && isAtEnd) scrollTo({ top: document.body.scrollHeight });
        this.#showCounts();
      },
      status: (status, numDropped) => {
        const text = status === 'live' ? '' : status === 'retrying' ? 'connecting again' : status;
        const dropped = numDropped > 0 ? `${formatCount(numDropped)} lines dropped: too many to follow` : '';
        fill(this.#tailStatus, [text, dropped].filter(Boolean).join(', '));
        this.#tailStatus.classList.toggle('is-warning', status !== 'live' || numDropped > 0);
        // A tail cannot say what is wrong with a query; asking for its lines does.
        if (status === 'refused') void this.#explainRefusal();
      },
    });
    const refresh = () => {
      this.#showCounts();
      if (!this.#isPaused && !document.hidden)
        void this.#fetchHistogram(this.#request.signal).catch((error) => this.#showErrorUnlessAborted(error));
    };
    refresh();
    this.#liveTimer = setInterval(refresh, LIVE_HISTOGRAM_MS);
    this.#showControls();
  }

  async #explainRefusal(): Promise<void> {
    const { signal } = this.#request;
    await this.#fetchResult(signal).catch((error) => this.#showErrorUnlessAborted(error));
  }

  #stopTail(): void {
    clearInterval(this.#liveTimer);
    this.#tail?.close();
    this.#tail = null;
    this.#isPaused = false;
    fill(this.#tailStatus);
  }

  #showControls(): void {
    const state = pageState();
    const isLive = this.#tail !== null;
    this.#queryBar.show(this.#query);
    this.#timeRange.show(state, this.#range);
    this.#live.setAttribute('aria-pressed', String(state.live));
    this.#pause.hidden = !isLive;
    this.#clear.hidden = !isLive;
    fill(this.#pause, this.#isPaused ? 'Resume' : 'Pause');
    fill(this.#order, state.order === 'newest' ? 'Newest first' : 'Oldest first');
    fill(this.#more, state.order === 'newest' ? 'Older lines' : 'Later lines');
    this.#wrap.setAttribute('aria-pressed', String(state.wrap));
    this.#dedup.value = state.dedup;
  }

  #showCounts(): void {
    const { lines } = this.#list;
    const bytes = lines.reduce((sum, { text }) => sum + text.length, 0);
    const rows = this.#list.numRows === lines.length ? '' : ` in ${formatCount(this.#list.numRows)} rows`;
    const waiting =
      this.#isPaused && this.#tail !== null ? `, ${formatCount(this.#tail.numWaiting)} waiting` : '';
    const read = this.#bytes > 0 ? `, ${formatBytes(this.#bytes)} read` : '';
    const none =
      lines.length === 0 && this.#tail === null ? 'No lines. Try a longer time range or fewer filters.' : '';
    fill(
      this.#status,
      none || `${formatCount(lines.length)} lines${rows}, ${formatBytes(bytes)}${read}${waiting}`,
    );
  }

  #showErrorUnlessAborted(error: unknown): void {
    if (error instanceof Error && error.name === 'AbortError') return;
    this.#showError(error);
  }

  #showError(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    const isMissing = error instanceof RequestError && error.status === 404;
    this.#queryBar.showError(isMissing ? 'this server has no log store' : message);
    fill(this.#status);
    this.#list.element.setAttribute('aria-busy', 'false');
    this.#list.set([], this.#style());
    this.#list.element.hidden = true;
    this.#more.hidden = true;
  }

  #setQuery(query: string): void {
    if (query === this.#query) void this.run();
    else setState({ query, line: null }, { push: true });
  }

  #toggleLevel(names: readonly string[], adds: boolean): void {
    const chosen = levelsIn(this.#query);
    const isChosen = names.some((name) => chosen.includes(name));
    const others = chosen.filter((name) => !names.includes(name));
    const levels = adds
      ? [...others, ...(isChosen ? [] : names)]
      : isChosen && others.length === 0
        ? []
        : names;
    this.#setQuery(withLevels(this.#query, levels));
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
      openStep: (step) => this.#setQuery(`${runSelector(this.#runId)} | json | step = ${step}`),
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

function linesOf(
  streams: readonly {
    stream: Readonly<Record<string, string>>;
    values: readonly (readonly [string, string, ...unknown[]])[];
  }[],
): LogLine[] {
  return streams.flatMap(({ stream, values }) => values.map(([ns, text]) => parseLine(stream, ns, text)));
}

function isNearEnd(): boolean {
  return window.innerHeight + window.scrollY > document.body.scrollHeight - 80;
}
