import { button, h, picker, refill } from '../dom.js';
import { onState, pageState, setState } from '../location.js';
import type { PageState } from '../page-state.js';
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

const LOGS_EVERY_MS = 6_000;
const HINT =
  'Drag to zoom, double-click to reset, click a point for what was recorded of its step, or in step time for its timeline';

const smoothed = (smooth: PageState['smooth']) =>
  `smoothed over ${SMOOTHED_STEPS[smooth].toLocaleString('en')} steps`;

/** The first view: failure, charts, ranks over time, expert load. */
export class Overview {
  readonly #bus = new Bus();
  readonly #layerPicker = h.select({
    'aria-label': 'layer',
    on: { change: () => setState({ layer: this.#layerPicker.value }) },
  });
  readonly #axisPicker = picker(
    'x axis of the charts',
    { step: 'by step', time: 'by time', tokens: 'by tokens' },
    (axis) => setState({ axis }),
  );
  readonly #smoothPicker = picker(
    'smoothing of lines',
    {
      off: 'not smoothed',
      light: smoothed('light'),
      medium: smoothed('medium'),
      strong: smoothed('strong'),
    },
    (smooth) => setState({ smooth }),
  );
  readonly #outliers = button('Show outliers', () => setState({ outliers: !pageState().outliers }), {
    title: 'lone values far beyond the others set the scale of a chart, instead of being marked at its edge',
  });
  readonly #zoomReset = button('Show all steps', () => setState({ range: null }), { class: 'zoom-reset' });
  readonly #banner = new Banner();
  readonly #charts = makeCharts(
    {
      onRange: (range) => setState({ range: range && [this.#stepOfX(range[0]), this.#stepOfX(range[1])] }),
      onCursor: (x) => this.#bus.setCursor(x === null ? null : this.#stepOfX(x)),
      onClick: (x) => setState({ record: Math.max(1, Math.round(this.#stepOfX(x))) }, { push: true }),
      onStepTime: (x) =>
        setState({ view: 'timeline', step: this.#longestStepAt(x), generation: null }, { push: true }),
    },
    this.#layerPicker,
  );
  readonly #heatMap = new HeatMap(this.#bus);
  readonly #generations = new Generations();
  readonly #differences = new Differences();
  readonly #reading = new ReadingNote();
  readonly #lanes = new Lanes(this.#bus);
  readonly #record = new StepPanel();
  readonly #grid = h.div(
    { class: 'grid' },
    ...this.#charts.map(({ chart }) => chart.element),
    this.#lanes.element,
    this.#heatMap.element,
    this.#heatMap.links.element,
  );
  readonly element: HTMLElement;
  #runs: readonly RunData[] = [];
  #logs: LogActivity | null = null;
  #logsOf = '';
  #logsAt = Number.NEGATIVE_INFINITY;

  constructor() {
    const hint = h.span({ class: 'hint' }, HINT);
    // Notices share one place, so that the charts do not move when one appears.
    const notices = h.div({ class: 'notices' }, hint, this.#banner.pins, this.#generations.element);
    const tools = [notices, this.#zoomReset, this.#smoothPicker, this.#outliers, this.#axisPicker];
    this.element = h.main(
      { class: 'overview' },
      this.#banner.element,
      this.#differences.element,
      this.#reading.element,
      h.div({ class: 'overview-tools' }, ...tools),
      this.#grid,
      this.#record.element,
    );
    this.#banner.set(null);
    this.#generations.set(null);
    this.#differences.set([]);
    this.#banner.setPins('', [], []);
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
    const { axis, range } = state;
    const [run] = this.#runs;
    if (this.element.hidden || run === undefined) return;
    this.#showLayers();
    this.#axisPicker.value = axis;
    this.#smoothPicker.value = state.smooth;
    this.#outliers.setAttribute('aria-pressed', String(state.outliers));
    this.#zoomReset.hidden = range === null;
    this.showStatus();
    void this.#record.show(run);
    this.#generations.set(run);
    this.#differences.set(this.#runs);
    this.#reading.set(run.metrics?.reading ?? null);
    this.#drawCharts(run, state);
    const of = this.#runs.length > 1 ? `of ${run.runId}` : '';
    this.#heatMap.set(run, of);
    this.#lanes.set(run, this.#logs, of);
  }

  #drawCharts(run: RunData, state: PageState): void {
    const { axis, layer, range, chart: enlarged } = state;
    const xOf = (step: number) => run.xOfStep(axis, step);
    const skipped = (run.metrics?.skipped ?? []).map(([from, to]) => [xOf(from), xOf(to)] as const);
    const marks = { generations: run.generationMarks(axis), skipped };
    const smoothing = run.widthOf(axis, SMOOTHED_STEPS[state.smooth]);
    this.#grid.classList.toggle(
      'has-enlarged',
      this.#charts.some(({ id }) => id === enlarged),
    );
    for (const { id, chart, seriesOf, emptyText, units, clips, marksSkipped } of this.#charts) {
      chart.element.classList.toggle('is-enlarged', id === enlarged);
      const hidden = state.hidden.flatMap((each) =>
        each.startsWith(`${id}:`) ? [each.slice(id.length + 1)] : [],
      );
      chart.setUnit(units[this.#runs.length > 1 ? 1 : 0]);
      chart.setRange(range && [xOf(range[0]), xOf(range[1])]);
      chart.set(seriesOf({ runs: this.#runs, axis, layer }), X_AXES[axis], emptyText, {
        marks: marksSkipped ? marks : { ...marks, skipped: [] },
        view: { smoothing, clips: clips && !state.outliers, isLog: state.log.includes(id), hidden },
      });
    }
  }

  /** Shows how the run ended, or that its server no longer answers. */
  showStatus(): void {
    this.#banner.set(this.#runs[0]?.detail ?? null);
  }

  async #refreshLogs(): Promise<void> {
    const [run] = this.#runs;
    const now = performance.now();
    if (run?.detail == null) return;
    // The logs are fetched once more when the run is over, as its last lines matter most.
    const logsOf = `${run.runId} ${run.detail.state}`;
    const isOther = this.#logsOf !== logsOf;
    if (!isOther && (now - this.#logsAt < LOGS_EVERY_MS || !run.detail.isLive)) return;
    if (!this.#logsOf.startsWith(`${run.runId} `)) {
      this.#logs = null;
      this.#banner.setPins('', [], []);
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
      this.#banner.setPins(run.runId, errors, warnings);
    } catch {
      // The log view shows the error. The next refresh tries again, even if the run is over by then.
      if (this.#logsOf === logsOf) this.#logsOf = `${run.runId} `;
    }
    this.draw();
  }

  #showLayers(): void {
    const layers = this.#runs[0]?.metrics?.layers ?? [];
    const values = ['all', ...layers.map(String)];
    refill(this.#layerPicker, values, () =>
      values.map((value) => h.option({ value }, value === 'all' ? 'all layers' : `layer ${value}`)),
    );
    this.#layerPicker.value = pageState().layer;
  }

  #stepOfX(x: number): number {
    return this.#runs[0]?.stepOfX(pageState().axis, x) ?? x;
  }

  #xOfStep(step: number): number {
    return this.#runs[0]?.xOfStep(pageState().axis, step) ?? step;
  }

  /** Returns the longest of the steps that are averaged at a position of the step time chart. */
  #longestStepAt(x: number): number {
    const at = Math.round(this.#stepOfX(x));
    const { step = [], longestStep = [] } = this.#runs[0]?.group('parts') ?? {};
    return longestStep[step.indexOf(at)] ?? at;
  }
}
