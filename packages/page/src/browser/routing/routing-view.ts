import type { RecordedSteps, SequenceRoutes, StepRoutes } from '../../api-types.js';
import {
  fetchProbe,
  fetchRecordedSteps,
  fetchSequenceRoutes,
  fetchStepRoutes,
  problemOf,
  RequestError,
} from '../api.js';
import { fill, h, refill } from '../dom.js';
import { onState, pageState, setState } from '../location.js';
import type { PageState } from '../page-state.js';
import { onTheme } from '../theme.js';
import { RouteWatch } from '../watch/route-watch.js';
import { DetailCard } from './detail-card.js';
import { setExpertColors } from './expert-colors.js';
import { ExpertLoads } from './expert-loads.js';
import { LinkCard } from './link-card.js';
import { nothingRecorded } from './nothing-recorded.js';
import { RoutingTools } from './routing-tools.js';
import { TextCard } from './text-card.js';

/** Time between two readings of a live run's probe. */
const PROBE_MS = 10_000;
/** Fields of the state that the view shows. */
const SHOWN = [...(['recorded', 'sequence', 'token', 'expert', 'layer', 'load'] as const)];

/**
 * The fifth view: the recorded routes of a step. It shows a text with its experts, the path of a token,
 * experts and links.
 */
export class RoutingView {
  readonly element: HTMLElement;
  readonly #watch = new RouteWatch();
  readonly #tools = new RoutingTools();
  readonly #problem = h.p({ class: 'routing-problem', role: 'alert' });
  readonly #left = h.ul({ class: 'routing-left-out', 'aria-label': 'files that could not be read' });
  readonly #empty = h.div({ class: 'no-routes' });
  readonly #text = new TextCard();
  readonly #detail = new DetailCard();
  readonly #loads = new ExpertLoads();
  readonly #links = new LinkCard();
  readonly #body = h.div(
    { class: 'routing-body' },
    this.#text.element,
    this.#detail.element,
    h.div({ class: 'grid routing-step' }, this.#loads.element, this.#links.element),
  );
  #runId = '';
  /** The runs whose probes are shown, and when they were read. */
  #probesOf = '';
  #probesReadMs = 0;
  #isLive = false;
  #generation = 0;
  #recorded: RecordedSteps | null = null;
  #routes: StepRoutes | null = null;
  #sequence: SequenceRoutes | null = null;
  /** Which step and which sequence are shown: run, step, files. */
  #stepKey = '';
  #sequenceKey = '';
  /** Index of the first token to show if none is chosen. */
  #from = 0;
  #updates = 0;
  /** Whether the newest update waits for the server. */
  #isBusy = false;
  /** The step, sequence and token of the request that the server has refused. */
  #refused = '';

  constructor() {
    this.element = h.main(
      { class: 'routing' },
      this.#watch.element,
      this.#tools.element,
      this.#problem,
      this.#left,
      this.#empty,
      this.#body,
    );
    this.#text.onPage = (from) => {
      this.#from = from;
      setState({ token: null });
      void this.#update();
    };
    document.addEventListener('keydown', (event) => this.#onKey(event));
    onState((state, before) => this.#onState(state, before));
    onTheme(() => this.#paint());
  }

  /** Shows the step of the page's state; for a live run, fetches the list of steps each time. */
  async show(runId: string, isLive: boolean, generation: number): Promise<void> {
    if (runId !== this.#runId) this.#forget(runId);
    void this.#showProbes(runId, isLive);
    // A new generation repeats steps and replaces their files.
    if (generation !== this.#generation) this.#stepKey = '';
    this.#generation = generation;
    const isKnown = !this.#isLive && (this.#stepKey !== '' || this.#recorded?.steps.length === 0);
    this.#isLive = isLive;
    if (isKnown || this.#isBusy) return;
    try {
      const recorded = await fetchRecordedSteps(runId);
      if (runId !== this.#runId) return;
      this.#recorded = recorded;
      await this.#update();
    } catch (error) {
      if (runId === this.#runId) fill(this.#problem, problemOf(error));
    }
  }

  /** Shows the probe of the run, and of those that are compared with it. */
  async #showProbes(runId: string, isLive: boolean): Promise<void> {
    const runs = [runId, ...pageState().overlays];
    const isRead = String(runs) === this.#probesOf;
    if (isRead && !(isLive && performance.now() - this.#probesReadMs > PROBE_MS)) return;
    this.#probesOf = String(runs);
    this.#probesReadMs = performance.now();
    try {
      const probes = await Promise.all(runs.map(fetchProbe));
      if (String(runs) === this.#probesOf) this.#watch.set(probes);
    } catch {
      // The next call reads again; that the server does not answer is said elsewhere.
      this.#probesOf = '';
    }
  }

  #forget(runId: string): void {
    this.#watch.forget();
    this.#runId = runId;
    this.#isBusy = false;
    this.#updates++;
    this.#recorded = null;
    this.#routes = null;
    this.#sequence = null;
    this.#stepKey = '';
    this.#sequenceKey = '';
    this.#body.hidden = true;
    fill(this.#problem);
    fill(this.#left);
  }

  #onState(state: PageState, before: PageState): void {
    if (
      this.element.hidden ||
      state.run !== before.run ||
      SHOWN.every((name) => state[name] === before[name])
    )
      return;
    if (state.sequence !== before.sequence || state.recorded !== before.recorded) this.#from = 0;
    // Data that has been fetched already is shown at once.
    if (this.#isAtHand()) this.#draw(before);
    void this.#update();
  }

  /**
   * Returns the recorded step that the state names, or the newest one; while a live run writes that, the one before.
   */
  #wantedStep(): number | null {
    const { steps = [], files = [] } = this.#recorded ?? {};
    const { recorded } = pageState();
    if (recorded !== null) return recorded;
    const isPartial = this.#isLive && (files.at(-1) ?? 0) < (files.at(-2) ?? 0);
    return steps.at(isPartial ? -2 : -1) ?? null;
  }

  #isAtHand(): boolean {
    const { sequence, token } = pageState();
    const shown = this.#sequence;
    if (this.#routes === null || shown === null || this.#routes.step !== this.#wantedStep()) return false;
    const isShown = token === null ? this.#from === shown.from : holds(shown, token);
    return isShown && (sequence ?? this.#routes.sequences.sequence[0]) === shown.sequence;
  }

  /** Fetches the data for the state that has not been fetched yet. */
  async #update(): Promise<void> {
    const update = ++this.#updates;
    const runId = this.#runId;
    const step = this.#wantedStep();
    const recorded = this.#recorded;
    if (recorded === null) return;
    const isEmpty = recorded.steps.length === 0;
    const files = step === null ? 0 : recorded.files[recorded.steps.indexOf(step)];
    const stepKey = `${runId} ${step} ${files}`;
    const { sequence, token } = pageState();
    const wanted = JSON.stringify([stepKey, sequence, token]);
    this.#body.hidden = isEmpty || this.#routes === null || wanted === this.#refused;
    this.#tools.element.hidden = isEmpty;
    const shown = isEmpty ? [recorded, this.#isLive] : null;
    refill(this.#empty, shown, () => (isEmpty ? nothingRecorded(recorded, this.#isLive) : []));
    this.#tools.set(recorded, step, this.#routes);
    if (step === null || wanted === this.#refused) return;
    this.#isBusy = true;
    try {
      if (stepKey !== this.#stepKey) {
        this.#tools.setBusy(true);
        const routes = await fetchStepRoutes(runId, step);
        if (update !== this.#updates) return;
        this.#routes = routes;
        this.#stepKey = stepKey;
        this.#sequenceKey = '';
        this.#drawStep();
      }
      await this.#updateSequence(update, step);
      if (update !== this.#updates) return;
      fill(this.#problem);
      this.#refused = '';
    } catch (error) {
      if (update !== this.#updates) return;
      fill(this.#problem, problemOf(error));
      this.#body.hidden = true;
      this.#stepKey = '';
      // The server would refuse the same request again, perhaps after reading for seconds.
      if (error instanceof RequestError && error.status > 0) this.#refused = wanted;
    } finally {
      if (update === this.#updates) {
        this.#isBusy = false;
        this.#tools.setBusy(false);
      }
    }
  }

  async #updateSequence(update: number, step: number): Promise<void> {
    const { token, sequence: named } = pageState();
    const sequence = named ?? this.#routes?.sequences.sequence[0];
    if (sequence === undefined) {
      this.#body.hidden = true;
      return;
    }
    const shown = this.#sequence;
    const isAtHand = this.#sequenceKey === `${this.#stepKey} ${sequence}` && shown !== null;
    const from = token ?? this.#from;
    if (isAtHand && (token === null ? shown.from === from : holds(shown, token))) return;
    const reply = await fetchSequenceRoutes(this.#runId, step, sequence, from);
    if (update !== this.#updates) return;
    this.#from = reply.from;
    this.#sequence = reply;
    this.#sequenceKey = `${this.#stepKey} ${sequence}`;
    this.#drawSequence();
  }

  #drawStep(): void {
    const routes = this.#routes;
    if (routes === null) return;
    this.#tools.set(this.#recorded!, routes.step, routes);
    fill(this.#left, ...routes.problems.map((problem) => h.li(problem)));
    const hasRoutes = routes.choices > 0;
    this.#body.hidden = !hasRoutes;
    if (!hasRoutes) return;
    this.#paint();
    this.#links.set(routes);
    this.#text.setGroups(routes);
  }

  /** Draws what depends on the theme. */
  #paint(): void {
    if (this.#routes === null) return;
    setExpertColors(this.element, this.#routes);
    this.#loads.set(this.#routes);
  }

  #drawSequence(): void {
    if (this.#sequence === null || this.#routes === null) return;
    this.#text.set(this.#sequence, this.#routes);
    this.#tools.set(this.#recorded!, this.#routes.step, this.#routes);
    this.#drawDetail();
  }

  /** Shows a change of the state that needs no data. */
  #draw(before: PageState): void {
    const state = pageState();
    if (state.layer !== before.layer) this.#text.set(this.#sequence!, this.#routes!);
    if (state.layer !== before.layer || state.load !== before.load || state.expert !== before.expert)
      this.#loads.set(this.#routes!);
    this.#drawDetail();
  }

  #drawDetail(): void {
    this.#text.mark();
    this.#detail.set({
      runId: this.#runId,
      routes: this.#routes!,
      sequence: this.#sequence!,
      tokens: this.#text.tokens,
      recorded: this.#recorded!.steps,
    });
    const { token, expert } = pageState();
    if (token !== null && expert === null)
      this.#text.showAbove(this.#detail.element.getBoundingClientRect().top);
  }

  #onKey(event: KeyboardEvent): void {
    const { key, target } = event;
    if (this.element.hidden || document.querySelector('dialog[open]') !== null) return;
    if (target instanceof HTMLSelectElement || target instanceof HTMLInputElement) return;
    if (key === 'Escape') this.#close();
    else if (key === '[') this.#tools.move(-1);
    else if (key === ']') this.#tools.move(1);
    else if (key === 'n') this.#tools.newest();
  }

  /** Closes the expert if one is open, otherwise the path of the token. */
  #close(): void {
    const { expert, token } = pageState();
    if (expert === null && token === null) return;
    setState(expert === null ? { token: null } : { expert: null });
    this.#text.focus();
  }
}

/** Whether a reply contains a token, or the sequence is too short to have it. */
function holds({ from, tokens, length }: SequenceRoutes, token: number): boolean {
  return token >= length || (token >= from && token < from + tokens.id.length);
}
