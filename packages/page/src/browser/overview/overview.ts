import type { FailureReport } from '@locmoe/run-format/failure-report';
import type { RunDetail } from '../../api-types.js';
import { contact } from '../api.js';
import { button, fill, h } from '../dom.js';
import { onState, pageState, setState } from '../location.js';
import type { LogLine } from '../logs/log-line.js';
import { quoted, runSelector, stepQuery } from '../loki.js';
import { AXES } from '../page-state.js';
import { statusOf } from '../run-status.js';
import { onTheme } from '../theme.js';
import { Banner } from './banner.js';
import { Bus } from './bus.js';
import { makeCharts } from './charts.js';
import { Differences } from './differences.js';
import { Generations } from './generations.js';
import { HeatMap } from './heat-map.js';
import { Lanes } from './lanes.js';
import { fetchFirstErrors, fetchLogActivity, fetchWarnings, type LogActivity } from './log-activity.js';
import { ReadingNote } from './reading-note.js';
import type { RunData } from './run-data.js';
import { SMOOTHED_STEPS } from './smoothing.js';
import { StepPanel } from './step-panel.js';
import { X_AXES } from './x-axis.js';

/** Lines of a step may be written slightly before or after it. */
const STEP_MARGIN_MS = 1_000;
const LANE_MARGIN_MS = 5_000;
const FAILURE_MARGIN_MS = 30_000;
const LOGS_EVERY_MS = 6_000;
const SMOOTHINGS = ['off', 'light', 'medium', 'strong'] as const;

/** The first view: failure, charts, ranks over time, expert load. */
export class Overview {
  readonly element: HTMLElement;
  readonly #bus = new Bus();
  readonly #layerPicker = h('select', { 'aria-label': 'layer' });
  readonly #axisPicker = h(
    'select',
    { 'aria-label': 'x axis of the charts' },
    h('option', { value: 'step' }, 'by step'),
    h('option', { value: 'time' }, 'by time'),
    h('option', { value: 'tokens' }, 'by tokens'),
  );
  readonly #smoothPicker = h(
    'select',
    { 'aria-label': 'smoothing of lines' },
    h('option', { value: 'off' }, 'not smoothed'),
    ...SMOOTHINGS.slice(1).map((value) =>
      h('option', { value }, `smoothed over ${SMOOTHED_STEPS[value].toLocaleString('en')} steps`),
    ),
  );
  readonly #outliers = button('Show outliers', () => setState({ outliers: !pageState().outliers }), {
    title: 'lone values far beyond the others set the scale of a chart, instead of being marked at its edge',
  });
  readonly #zoomReset = h('button', { type: 'button', class: 'zoom-reset' }, 'Show all steps');
  readonly #banner = new Banner(
    (failure, detail) => this.#openFailure(failure, detail),
    (line) => this.#openLine(line),
    () => this.#openLogs(`{run=${quoted(this.#runs[0]?.runId ?? '')}, level="warn"}`, null),
  );
  readonly #charts = makeCharts(
    {
      onRange: (range) => this.#zoom(range && [this.#stepOfX(range[0]), this.#stepOfX(range[1])]),
      onCursor: (x) => this.#bus.setCursor(x === null ? null : this.#stepOfX(x)),
      onClick: (x) => this.#showRecord(this.#stepOfX(x)),
      onStepTime: (x) =>
        setState({ view: 'timeline', step: this.#longestStepAt(x), generation: null }, { push: true }),
    },
    this.#layerPicker,
  );
  readonly #heatMap = new HeatMap(this.#bus);
  readonly #generations = new Generations((time) => this.#openMoment(time, null));
  readonly #differences = new Differences();
  readonly #reading = new ReadingNote();
  readonly #lanes = new Lanes(this.#bus, (time, rank) => this.#openMoment(time, rank));
  readonly #record = new StepPanel((step) => this.#openStep(step));
  readonly #grid: HTMLElement;
  #runs: readonly RunData[] = [];
  #logs: LogActivity | null = null;
  #logsOf = '';
  #logsAt = Number.NEGATIVE_INFINITY;

  constructor() {
    this.#grid = h(
      'div',
      { class: 'grid' },
      ...this.#charts.map(({ chart: { element }, isWide }) => {
        if (isWide) element.classList.add('wide');
        return element;
      }),
      this.#lanes.element,
      this.#heatMap.element,
    );
    const tools = h(
      'div',
      { class: 'overview-tools' },
      h(
        'span',
        { class: 'hint' },
        'Drag to zoom, double-click to reset, click a point for what was recorded of its step, or in step time for its timeline',
      ),
      this.#zoomReset,
      this.#smoothPicker,
      this.#outliers,
      this.#axisPicker,
    );
    const top = [
      this.#banner.element,
      this.#banner.pins,
      this.#generations.element,
      this.#differences.element,
      this.#reading.element,
    ];
    this.element = h('main', { class: 'overview' }, ...top, tools, this.#grid, this.#record.element);
    this.#banner.set(null);
    this.#generations.set(null);
    this.#differences.set([]);
    this.#banner.setPins([], []);
    this.#zoomReset.addEventListener('click', () => this.#zoom(null));
    this.#layerPicker.addEventListener('change', () => setState({ layer: this.#layerPicker.value }));
    this.#axisPicker.addEventListener('change', () =>
      setState({ axis: AXES.find((each) => each === this.#axisPicker.value) ?? 'step' }),
    );
    this.#smoothPicker.addEventListener('change', () =>
      setState({ smooth: SMOOTHINGS.find((each) => each === this.#smoothPicker.value) ?? 'off' }),
    );
    this.#grid.addEventListener('keydown', ({ key }) => {
      if (key === 'Escape' && pageState().chart !== null) setState({ chart: null });
    });
    this.#bus.onCursor((step) => {
      const x = step === null ? null : this.#xOfStep(step);
      for (const { chart } of this.#charts) chart.setCursor(x);
    });
    onState(() => this.draw());
    onTheme(() => this.draw());
  }

  /** Draws the runs: the selected one first, then its overlays. */
  show(runs: readonly RunData[]): void {
    this.#runs = runs;
    this.draw();
    void this.#refreshLogs();
  }

  draw(): void {
    const state = pageState();
    const { axis, layer, range, chart: enlarged } = state;
    const [run] = this.#runs;
    if (this.element.hidden || run === undefined) return;
    this.#showLayers();
    this.#axisPicker.value = axis;
    this.#smoothPicker.value = state.smooth;
    this.#outliers.setAttribute('aria-pressed', String(state.outliers));
    this.#zoomReset.hidden = range === null;
    this.showStatus();
    void this.#record.show(run.runId, run.detail?.isLive !== false);
    this.#generations.set(run);
    this.#differences.set(this.#runs);
    this.#reading.set(run.metrics?.reading ?? null);
    const skipped = (run.metrics?.skipped ?? []).map(
      ([from, to]) => [run.xOfStep(axis, from), run.xOfStep(axis, to)] as const,
    );
    const marks = { generations: run.generationMarks(axis), skipped };
    const smoothing = run.widthOf(axis, SMOOTHED_STEPS[state.smooth]);
    const xs = range && ([this.#xOfStep(range[0]), this.#xOfStep(range[1])] as const);
    const isOverlaid = this.#runs.length > 1;
    const isEnlarged = this.#charts.some(({ id }) => id === enlarged);
    this.#grid.classList.toggle('has-enlarged', isEnlarged);
    for (const { id, chart, seriesOf, emptyText, units, clips, marksSkipped } of this.#charts) {
      chart.element.classList.toggle('is-enlarged', id === enlarged);
      const view = {
        smoothing,
        clips: clips && !state.outliers,
        isLog: state.log.includes(id),
        hidden: state.hidden.flatMap((each) =>
          each.startsWith(`${id}:`) ? [each.slice(id.length + 1)] : [],
        ),
      };
      chart.setUnit(units[isOverlaid ? 1 : 0]);
      chart.setRange(xs);
      chart.set(seriesOf({ runs: this.#runs, axis, layer }), X_AXES[axis], emptyText, {
        marks: marksSkipped ? marks : { ...marks, skipped: [] },
        view,
      });
    }
    const of = isOverlaid ? `of ${run.runId}` : '';
    this.#heatMap.set(run, { range, axis, load: state.load, of });
    this.#lanes.set(run, this.#logs, range, of);
  }

  /** Shows how the run ended, or that nothing is heard of it any more. */
  showStatus(): void {
    const [run] = this.#runs;
    const { state, lastHeardAt } = contact;
    this.#banner.set(
      run?.detail == null
        ? null
        : {
            detail: run.detail,
            status: statusOf(run.detail, state),
            isServerGone: state !== 'ok',
            lastHeardAt,
          },
    );
  }

  async #refreshLogs(): Promise<void> {
    const [run] = this.#runs;
    const now = performance.now();
    if (run?.detail == null) return;
    // Once more when it is over: its end is what is looked for.
    const logsOf = `${run.runId} ${run.detail.state}`;
    const isOther = this.#logsOf !== logsOf;
    if (!isOther && (now - this.#logsAt < LOGS_EVERY_MS || !run.detail.isLive)) return;
    if (!this.#logsOf.startsWith(`${run.runId} `)) {
      this.#logs = null;
      this.#banner.setPins([], []);
    }
    this.#logsOf = logsOf;
    this.#logsAt = now;
    try {
      const [activity, errors, warnings] = await Promise.all([
        fetchLogActivity(run, isOther ? null : this.#logs),
        fetchFirstErrors(run),
        fetchWarnings(run),
      ]);
      if (this.#logsOf !== logsOf) return;
      this.#logs = activity;
      this.#banner.setPins(errors, warnings);
    } catch {
      // The log view shows the error. The next refresh tries again, also where the run is over meanwhile.
      if (this.#logsOf === logsOf) this.#logsOf = `${run.runId} `;
    }
    this.draw();
  }

  #showLayers(): void {
    const layers = this.#runs[0]?.metrics?.layers ?? [];
    const values = ['all', ...layers.map(String)];
    if (this.#layerPicker.childElementCount !== values.length)
      fill(
        this.#layerPicker,
        ...values.map((value) => h('option', { value }, value === 'all' ? 'all layers' : `layer ${value}`)),
      );
    this.#layerPicker.value = pageState().layer;
  }

  #stepOfX(x: number): number {
    return this.#runs[0]?.stepOfX(pageState().axis, x) ?? x;
  }

  #xOfStep(step: number): number {
    return this.#runs[0]?.xOfStep(pageState().axis, step) ?? step;
  }

  /** The longest of the steps that a place of the chart of step time stands for. */
  #longestStepAt(x: number): number {
    const at = Math.round(this.#stepOfX(x));
    const { step = [], longestStep = [] } = this.#runs[0]?.group('parts') ?? {};
    return longestStep[step.indexOf(at)] ?? at;
  }

  #zoom(range: readonly [number, number] | null): void {
    setState({ range });
  }

  #showRecord(step: number): void {
    setState({ record: Math.max(1, Math.round(step)) }, { push: true });
  }

  #openStep(step: number): void {
    const [run] = this.#runs;
    if (run === undefined) return;
    const query = stepQuery(run.runId, step);
    if (run.metrics?.hasTimes === false) {
      this.#openLogs(query, null);
      return;
    }
    const isDone = step <= (run.metrics?.lastStep ?? 0);
    const to = isDone ? run.clock.timeOf(step) : (run.detail?.endedAt ?? Date.now());
    this.#openLogs(query, [run.clock.timeOf(step - 1) - STEP_MARGIN_MS, to + STEP_MARGIN_MS]);
  }

  #openFailure(failure: Partial<FailureReport>, detail: RunDetail): void {
    const time = failure.time || (detail.endedAt ?? Date.now());
    const query = failure.step == null ? '' : stepQuery(detail.runId, failure.step);
    this.#openLogs(query, [time - FAILURE_MARGIN_MS, time + FAILURE_MARGIN_MS / 3]);
  }

  #openMoment(time: number, rank: number | null): void {
    const [run] = this.#runs;
    if (run === undefined) return;
    const query = rank === null ? '' : `{run=${JSON.stringify(run.runId)}, rank="${rank}"}`;
    this.#openLogs(query, [time - LANE_MARGIN_MS, time + LANE_MARGIN_MS]);
  }

  #openLine(line: LogLine): void {
    const run = this.#runs[0]?.runId ?? '';
    setState(
      {
        view: 'logs',
        query: runSelector(run),
        from: String(Math.floor(line.timeMs) - FAILURE_MARGIN_MS),
        to: String(Math.ceil(line.timeMs) + FAILURE_MARGIN_MS),
        line: line.ns,
        live: false,
      },
      { push: true },
    );
  }

  /** @param range ms since 1970; null for the whole run */
  #openLogs(query: string, range: readonly [number, number] | null): void {
    const [from, to] = range ?? [];
    const times = {
      from: from === undefined ? null : String(Math.floor(from)),
      to: to === undefined ? null : String(Math.ceil(to)),
    };
    setState({ view: 'logs', query, ...times, live: false, line: null }, { push: true });
  }
}
