import type { TimelineReply } from '../../api-types.js';
import { fetchTimeline, problemOf } from '../api.js';
import { button, fill, h, legendEntry } from '../dom.js';
import { formatClock, formatCount } from '../format.js';
import { pageState, setState } from '../location.js';
import { waitsOf } from './layout.js';
import { formatSpanMs, SPAN_CLASSES } from './span-style.js';
import { TimelineCanvas } from './timeline-canvas.js';

/** With more ranks, each has only one row at first. */
const MAX_EXPANDED = 12;

/** The third view: what every rank did in one step, and whom it waited for. */
export class TimelineView {
  readonly element: HTMLElement;
  readonly #canvas = new TimelineCanvas();
  readonly #step = h.input({
    type: 'number',
    min: '1',
    'aria-label': 'step',
    on: { change: () => this.#openStep() },
  });
  readonly #generation = h.select({
    'aria-label': 'generation',
    on: { change: () => this.#open(this.#reply?.step ?? null, Number(this.#generation.value)) },
  });
  readonly #kept = h.span({ class: 'hint' });
  readonly #about = h.p({ class: 'timeline-about' });
  readonly #problem = h.p({ class: 'timeline-problem', role: 'alert' });
  readonly #rows = button('', () => this.toggleRows(), { title: 'one row or several for a rank (c)' });
  #reply: TimelineReply | null = null;
  #runId = '';
  #isLive = false;
  /** Run whose timeline is shown; empty if none. */
  #shownRun = '';
  /** Run, step and generation that were asked for last. */
  #wanted = '';

  constructor() {
    const tools = h.div(
      { class: 'timeline-tools' },
      button('‹', () => this.move(-1), { label: 'previous step ([)' }),
      h.label('step ', this.#step),
      button('›', () => this.move(1), { label: 'next step (])' }),
      this.#generation,
      button('Newest', () => this.#open(null, null), { title: 'the last step that is kept (n)' }),
      this.#kept,
      button('Whole step', () => this.#canvas.fit(), { title: 'show the whole step (f)' }),
      this.#rows,
      h.div(
        { class: 'legend' },
        ...SPAN_CLASSES.map(([name, variable]) => legendEntry(`var(${variable})`, name)),
        h.span({ class: 'entry' }, h.i({ class: 'block hatched' }), 'waiting'),
      ),
    );
    this.element = h.main({ class: 'timeline' }, tools, this.#about, this.#problem, this.#canvas.element);
    // These single keys are not used elsewhere on the page.
    this.element.addEventListener('keydown', ({ key, target }) => {
      if (target === this.#step) return;
      if (key === '[') this.move(-1);
      else if (key === ']') this.move(1);
      else if (key === 'n') this.#open(null, null);
      else if (key === 'c') this.toggleRows();
    });
  }

  /**
   * Shows the step of the page's state, which is fetched once, or again while ranks of a live run have not
   * recorded it.
   */
  async show(runId: string, isLive: boolean): Promise<void> {
    this.#runId = runId;
    this.#isLive = isLive;
    const { step, generation } = pageState();
    const wanted = JSON.stringify([runId, step, generation]);
    if (wanted === this.#wanted) return;
    this.#wanted = wanted;
    try {
      const reply = await fetchTimeline(runId, { step, generation });
      if (wanted !== this.#wanted) return;
      const missing = unrecorded(reply);
      if (isLive && missing.length > 0) this.#wanted = '';
      // If the reply is unchanged, the zoom is kept.
      const before = this.#reply;
      const isSame =
        before !== null &&
        runId === this.#shownRun &&
        reply.step === before.step &&
        reply.generation === before.generation &&
        missing.length === unrecorded(before).length;
      if (!isSame) this.#set(runId, reply);
    } catch (error) {
      if (wanted !== this.#wanted) return;
      // A live run may still write the step.
      this.#wanted = '';
      this.#reply = null;
      this.#canvas.element.hidden = true;
      fill(this.#about);
      this.#step.value = step === null ? '' : String(step);
      fill(this.#problem, problemOf(error));
    }
  }

  move(by: number): void {
    const step = (this.#reply?.step ?? Number(this.#step.value)) + by;
    if (step > 0) this.#open(step, this.#reply?.generation ?? null);
  }

  toggleRows(): void {
    this.#canvas.setCompact(!this.#canvas.isCompact);
    this.#nameRows();
  }

  /** Draws and focuses the canvas when the view is shown. */
  focus(): void {
    this.#canvas.draw();
    this.#canvas.focus();
  }

  #openStep(): void {
    const step = Number(this.#step.value);
    if (Number.isInteger(step) && step > 0) this.#open(step, pageState().generation);
  }

  #open(step: number | null, generation: number | null): void {
    // The newest step may have changed, so it is fetched again.
    if (step === null) this.#wanted = '';
    setState({ step, generation });
    void this.show(this.#runId, this.#isLive);
  }

  #set(runId: string, reply: TimelineReply): void {
    const isFirst = this.#shownRun !== runId;
    this.#shownRun = runId;
    this.#reply = reply;
    fill(this.#problem);
    this.#canvas.element.hidden = false;
    this.#step.value = String(reply.step);
    const { kept, generation } = reply;
    fill(
      this.#generation,
      ...kept.map((each) => h.option({ value: String(each.generation) }, `generation ${each.generation}`)),
    );
    this.#generation.value = String(generation);
    this.#generation.hidden = kept.length === 1;
    const range = kept.find((each) => each.generation === generation);
    this.#kept.textContent = range ? `of ${formatCount(range.first)} to ${formatCount(range.last)} kept` : '';
    fill(this.#about, aboutText(reply));
    this.#canvas.set(reply, isFirst ? reply.lanes.length > MAX_EXPANDED : this.#canvas.isCompact);
    this.#nameRows();
    if (isFirst && !this.element.hidden) this.#canvas.focus();
  }

  #nameRows(): void {
    fill(this.#rows, this.#canvas.isCompact ? 'Expand ranks' : 'One row a rank');
  }
}

/** Returns the ranks that have recorded nothing of the step. */
function unrecorded({ lanes }: TimelineReply): number[] {
  return lanes.filter(({ spans }) => spans.length === 0).map(({ rank }) => rank);
}

/** Writes "206 ms from 07:22:52.373 · most time was spent waiting for rank 1: 45 ms in all". */
function aboutText(reply: TimelineReply): string {
  const { lanes, endMs, startMs, clocks, fallen } = reply;
  const msFor = new Map<number, number>();
  for (const { rank, ms } of lanes.flatMap((lane) => waitsOf(lane, endMs)))
    if (rank !== null) msFor.set(rank, (msFor.get(rank) ?? 0) + ms);
  const [most] = [...msFor].sort(([, a], [, b]) => b - a);
  const missing = unrecorded(reply);
  const unsure = clocks.filter(({ uncertaintyMs }) => uncertaintyMs !== 0);
  const known = unsure.every(({ uncertaintyMs }) => uncertaintyMs !== null);
  const worst = Math.max(...unsure.map(({ uncertaintyMs }) => uncertaintyMs ?? 0));
  return [
    `${formatSpanMs(endMs)} from ${formatClock(startMs)}`,
    ...fallen.map(({ rank, how, ms }) => `rank ${rank}: ${how} (${formatSpanMs(ms)} after the start)`),
    missing.length > 0 && `nothing is recorded of ${missing.length} of ${lanes.length} ranks`,
    most === undefined
      ? 'nobody waited'
      : `most time was spent waiting for rank ${most[0]}: ${formatSpanMs(most[1])} in all`,
    unsure.length > 0 &&
      (known
        ? `clocks of the nodes agree within ${formatSpanMs(worst)}`
        : 'the clocks of the nodes could not be compared'),
  ]
    .filter(Boolean)
    .join(' · ');
}
