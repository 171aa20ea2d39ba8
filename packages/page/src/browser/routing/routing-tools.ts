import type { RecordedSteps, StepRoutes } from '../../api-types.js';
import { button, fill, h } from '../dom.js';
import { formatCount, formatShare } from '../format.js';
import { pageState, setState } from '../location.js';

/** Chooses the recorded step, the sequence, and the layer. */
export class RoutingTools {
  readonly #step = h.select({
    'aria-label': 'recorded step',
    on: { change: () => this.#open(Number(this.#step.value)) },
  });
  readonly #sequence = h.select({
    'aria-label': 'sequence',
    on: { change: () => this.#openSequence(Number(this.#sequence.value)) },
  });
  readonly #layer = h.select({
    'aria-label': 'layers of the text',
    on: { change: () => setState({ layer: this.#layer.value }) },
  });
  readonly #newest = button('Newest', () => this.newest(), { title: 'the newest recorded step (n)' });
  readonly #about = h.span({ class: 'hint' });
  readonly element = h.div(
    { class: 'routing-tools' },
    h.div(
      { class: 'group' },
      button('‹', () => this.move(-1), { label: 'previous recorded step ([)' }),
      h.label('step ', this.#step),
      button('›', () => this.move(1), { label: 'next recorded step (])' }),
      this.#newest,
    ),
    h.div(
      { class: 'group' },
      button('‹', () => this.#moveSequence(-1), { label: 'previous sequence' }),
      h.label('text ', this.#sequence),
      button('›', () => this.#moveSequence(1), { label: 'next sequence' }),
    ),
    h.label('layers ', this.#layer),
    this.#about,
  );
  #steps: readonly number[] = [];
  #shown: number | null = null;

  set({ steps, recording, leftOut }: RecordedSteps, step: number | null, routes: StepRoutes | null): void {
    this.#steps = steps;
    this.#shown = step;
    const isKnown = step === null || steps.includes(step);
    options(
      this.#step,
      (isKnown ? steps : [...steps, step]).map((each) => [each, String(each)]),
      step,
    );
    this.#newest.disabled = pageState().recorded === null;
    const share =
      recording && recording.share < 1
        ? `${formatShare(recording.share)} of its sequences are recorded`
        : 'all its sequences are recorded';
    const few = leftOut > 0 ? `; ${formatCount(leftOut)} earlier steps are left out` : '';
    this.#about.textContent =
      routes === null || routes.step !== step ? '' : `${share}, ${formatCount(routes.choices)} choices${few}`;
    if (routes === null) return;
    const { sequence, domain, rank } = routes.sequences;
    const shown = pageState().sequence ?? sequence[0];
    options(
      this.#sequence,
      sequence.map((each, at) => [each, `${each} · ${domain[at]} · rank ${rank[at]}`]),
      shown,
    );
    const layers = routes.layers.map((each) => [String(each), `layer ${each}`] as const);
    const { layer } = pageState();
    options(
      this.#layer,
      [['all', 'all'], ...layers],
      layers.some(([each]) => each === layer) ? layer : 'all',
    );
  }

  setBusy(isBusy: boolean): void {
    this.element.setAttribute('aria-busy', String(isBusy));
  }

  move(by: number): void {
    const next = this.#steps[this.#steps.indexOf(this.#shown ?? 0) + by];
    if (next !== undefined) this.#open(next);
  }

  newest(): void {
    setState({ recorded: null, token: null });
  }

  #open(step: number): void {
    // The sequences of another step are other texts, so the token is meaningless there.
    setState({ recorded: step, token: null });
  }

  #openSequence(sequence: number): void {
    setState({ sequence, token: null });
  }

  #moveSequence(by: number): void {
    const next = this.#sequence.options[this.#sequence.selectedIndex + by];
    if (next) this.#openSequence(Number(next.value));
  }
}

/** Replaces the options only if they have changed, as the list may be open. */
function options(
  select: HTMLSelectElement,
  texts: readonly (readonly [value: string | number, text: string])[],
  chosen: string | number | null | undefined,
): void {
  const key = JSON.stringify(texts);
  if (select.dataset.texts !== key) {
    select.dataset.texts = key;
    fill(select, ...texts.map(([value, text]) => h.option({ value: String(value) }, text)));
  }
  select.value = String(chosen ?? '');
}
