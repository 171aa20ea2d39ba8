import type { RunDetail } from '../../api-types.js';
import { fetchCheckpoints, fetchFlight, fetchSpeeds } from '../api.js';
import { h, heading, scrollable } from '../dom.js';
import { pageState } from '../location.js';
import type { RunData } from '../overview/run-data.js';
import type { PageState } from '../page-state.js';
import { CheckpointCard } from './checkpoint-card.js';
import { ConfigCard } from './config-card.js';
import { RunFacts, TrainingFacts } from './facts.js';
import { FlightCard } from './flight-card.js';
import { RankTimes } from './rank-times.js';
import { SamplesCard } from './samples-card.js';
import { fetchTrainingStart, type TrainingStart } from './training-start.js';

const EVERY_MS = 6_000;

/** The fourth view: what the run is, its ranks, checkpoints, samples, flight record and configuration. */
export class DetailsView {
  readonly element: HTMLElement;
  readonly #run = new RunFacts();
  readonly #training = new TrainingFacts();
  readonly #ranks = new RankTimes();
  readonly #checkpoints = new CheckpointCard();
  readonly #outline = h.pre();
  readonly #model = h.section(
    { class: 'card full', 'aria-label': 'Model' },
    heading('Model', 'each block of a layer, and the rule of its router'),
    scrollable('Model, layer by layer', this.#outline),
  );
  readonly #samples = new SamplesCard();
  readonly #flight = new FlightCard();
  readonly #config = new ConfigCard();
  #runs: readonly RunData[] = [];
  #start: TrainingStart | null = null;
  /** Run, state and time of the last fetch. */
  #fetched = '';
  #fetchedAt = Number.NEGATIVE_INFINITY;
  #revealed: PageState['card'] = null;

  constructor() {
    const facts = [this.#run, this.#training, this.#ranks, this.#checkpoints];
    const cards = [...facts, { element: this.#model }, this.#samples, this.#flight, this.#config].map(
      ({ element }) => element,
    );
    this.element = h.main({ class: 'details-view' }, h.div({ class: 'grid' }, ...cards));
    this.#samples.element.hidden = true;
    this.#flight.element.hidden = true;
  }

  /** Shows the selected run first, then those that it is compared with. */
  show(runs: readonly RunData[]): void {
    this.#runs = runs;
    this.draw();
  }

  draw(): void {
    const [run] = this.#runs;
    if (this.element.hidden || run?.detail == null) {
      this.#revealed = null;
      return;
    }
    this.#run.set(run, this.#fetched.startsWith(`${run.runId} `) ? this.#start : null);
    this.#training.set(run);
    this.#outline.textContent = run.detail.outline;
    this.#model.hidden = run.detail.outline === null;
    this.#samples.set(run.detail.summary);
    this.#config.set(this.#runs);
    this.refresh();
  }

  /** Scrolls to the card that the address names, once it has been filled. */
  #reveal(): void {
    const { card, view } = pageState();
    const wanted = view === 'details' ? card : null;
    if (wanted === this.#revealed || this.#flight.element.hidden) return;
    this.#revealed = wanted;
    if (wanted === 'flight') this.#flight.element.scrollIntoView();
  }

  /** Fetches what is out of date or could not be fetched before. */
  refresh(): void {
    const [run] = this.#runs;
    if (!this.element.hidden && run?.detail != null) void this.#refresh(run, run.detail);
  }

  /** Fetches the data that only this view needs, once for a run that is over. */
  async #refresh(run: RunData, detail: RunDetail): Promise<void> {
    const key = `${run.runId} ${detail.state} ${detail.generation}`;
    const now = performance.now();
    if (key === this.#fetched && (!detail.isLive || now - this.#fetchedAt < EVERY_MS)) {
      this.#reveal();
      return;
    }
    const isOther = key !== this.#fetched;
    this.#fetched = key;
    this.#fetchedAt = now;
    try {
      const [{ speeds }, { checkpoints }, flight, start] = await Promise.all([
        fetchSpeeds(run.runId),
        fetchCheckpoints(run.runId),
        fetchFlight(run.runId),
        isOther || this.#start === null ? fetchTrainingStart(run) : this.#start,
      ]);
      if (this.#fetched !== key) return;
      this.#start = start;
      this.#run.set(run, start);
      this.#ranks.set(speeds);
      this.#checkpoints.set(run.runId, checkpoints);
      this.#flight.set(flight, detail.commands.flight);
      this.#reveal();
    } catch {
      // The next poll tries again; the header shows that the server does not answer.
      this.#fetched = '';
    }
  }
}
