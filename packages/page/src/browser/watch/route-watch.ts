import type { ProbeData } from 'locmoe/internal/evaluation/routes/probe-data';
import { button, fill, h, icon } from '../dom.js';
import { formatShare } from '../format.js';
import { type TextToken, visible } from '../routing/choices.js';
import { setExpertColors } from '../routing/expert-colors.js';
import { TokenText } from '../routing/token-text.js';
import { drawing, shape } from '../svg.js';
import { onTheme } from '../theme.js';
import { agreement, type ExpertsOfSteps } from './agreement.js';
import { parseRoutes } from './parse-routes.js';

/** Time for which playing shows a step. */
const PLAY_MS = 450;
const HEIGHT = 40;

interface Watched {
  readonly data: ProbeData;
  readonly experts: ExpertsOfSteps;
  readonly heading: HTMLElement;
  readonly text: TokenText;
}

/** A text above the experts of its tokens at each recorded step of a training, of one run or of several. */
export class RouteWatch {
  readonly #title = h.h2();
  readonly #text = h.select({ 'aria-label': 'text', on: { change: () => this.#showAll() } });
  readonly #layer = h.select({ 'aria-label': 'layer', on: { change: () => this.#showAll() } });
  readonly #play = button(icon('play'), () => this.#togglePlaying(), { label: 'play' });
  readonly #slider = h.input({
    type: 'range',
    min: '0',
    'aria-label': 'step',
    on: { input: () => this.#showStep() },
  });
  readonly #graph = h.div({ role: 'img' });
  readonly #step = h.b({ class: 'watch-step' });
  readonly #key = h.p({ class: 'watch-key' });
  readonly #texts = h.div();
  readonly #history = h.p({ class: 'watch-history', role: 'status' });
  readonly #problem = h.p({ class: 'watch-problem', role: 'alert' });
  readonly #body = h.div(
    h.div(
      { class: 'watch-steps' },
      this.#play,
      h.div(
        { class: 'watch-track' },
        this.#slider,
        this.#graph,
        h.div({ class: 'watch-scale', 'aria-hidden': 'true' }, h.span('100 %'), h.span('0 %')),
      ),
      this.#step,
    ),
    this.#key,
    this.#texts,
    this.#history,
  );
  readonly element = h.section(
    // It is shown once it is told what there is to show.
    { class: 'card watch', 'aria-label': 'Routing over training', hidden: true },
    h.header(this.#title, this.#text, this.#layer, this.#filePicker()),
    this.#problem,
    this.#body,
  );
  #runs: readonly Watched[] = [];
  /** Whether a file is shown in place of the runs. */
  #isOpened = false;
  #playing: number | undefined;

  constructor() {
    onTheme(() => this.#paint());
    this.element.addEventListener('dragover', (event) => event.preventDefault());
    this.element.addEventListener('drop', (event) => {
      event.preventDefault();
      void this.#open(event.dataTransfer?.files[0]);
    });
  }

  /** Shows the probe of a run, and of others below it; keeps the step that is shown. */
  set(probes: readonly ProbeData[]): void {
    if (this.#isOpened) return;
    this.#fill(probes);
  }

  /** Shows the runs again that are set next. */
  forget(): void {
    this.#isOpened = false;
  }

  get #first(): Watched | undefined {
    return this.#runs[0];
  }

  #fill(probes: readonly ProbeData[]): void {
    this.element.hidden = false;
    const steps = this.#first?.data.steps ?? [];
    const at = Number(this.#slider.value);
    const isAtEnd = at >= steps.length - 1;
    this.#runs = probes.map((data) => ({
      data,
      experts: data.experts.map((layers) => layers.map((tokens) => tokens.split(' '))),
      heading: h.h3(),
      text: new TokenText((index) => this.#showHistory(index)),
    }));
    const [first] = probes;
    const isEmpty = first === undefined || first.steps.length === 0;
    this.#body.hidden = isEmpty;
    for (const select of [this.#text, this.#layer]) select.hidden = isEmpty;
    fill(
      this.#title,
      'Routing over training ',
      h.small(isEmpty ? 'no text was routed at several steps' : first.name),
    );
    fill(this.#history);
    if (isEmpty) return;
    const last = first.steps.length - 1;
    const same = isAtEnd ? last : first.steps.findLastIndex((step) => step <= steps[at]!);
    this.#slider.max = String(last);
    this.#slider.value = String(Math.max(0, same));
    choices(
      this.#text,
      first.texts.map(({ domain }, index) => `text ${index + 1} · ${domain}`),
    );
    choices(this.#layer, [...first.layers.map((layer) => `layer ${layer}`), 'all layers']);
    fill(this.#texts, ...this.#runs.flatMap(({ heading, text }) => [heading, text.element]));
    this.#paint();
    this.#showAll();
  }

  #paint(): void {
    for (const { data, text } of this.#runs) setExpertColors(text.element, data);
  }

  /** Indices of the layers that are shown. */
  get #layers(): readonly number[] {
    const all = [...this.#first!.data.layers.keys()];
    return all[this.#layer.selectedIndex] === undefined ? all : [this.#layer.selectedIndex];
  }

  #showAll(): void {
    const { data, experts } = this.#first!;
    const layers = this.#layers;
    const last = data.steps.length - 1;
    const settled = data.steps.map((_, at) => agreement(experts, at, last, layers));
    const kept = data.steps.map((_, at) => agreement(experts, at, Math.max(0, at - 1), layers));
    fill(this.#graph, plot(settled, kept));
    fill(
      this.#key,
      h.span(
        drawing({ viewBox: '0 0 26 8' }, { class: 'last', d: 'M0 4H26' }),
        'choices as at the last step',
      ),
      h.span(drawing({ viewBox: '0 0 26 8' }, { class: 'before', d: 'M0 4H26' }), 'as at the step before'),
      h.span(h.u('underlined'), ': changed since the step before'),
    );
    this.#graph.setAttribute(
      'aria-label',
      `share of the choices that are those of the last step: ${data.steps.map((step, at) => `step ${step} ${formatShare(settled[at])}`).join(', ')}`,
    );
    fill(this.#history);
    this.#showStep();
  }

  #showStep(): void {
    const at = Number(this.#slider.value);
    const { data } = this.#first!;
    const step = data.steps[at]!;
    this.#step.textContent = `step ${step}`;
    this.#slider.setAttribute('aria-valuetext', `step ${step}`);
    const x = data.steps.length === 1 ? 0 : at / (data.steps.length - 1);
    this.#graph.querySelector('path.now')?.setAttribute('d', `M${100 * x} 0V${HEIGHT}`);
    for (const run of this.#runs) this.#showRun(run, step);
  }

  #showRun({ data, experts, heading, text }: Watched, step: number): void {
    const isSame = sameText(data, this.#first!.data);
    text.element.hidden = !isSame;
    if (!isSame) {
      fill(
        heading,
        `${data.name} `,
        h.small('routed another text, or has no recorded probe, so it cannot be compared'),
      );
      return;
    }
    const at = Math.max(
      0,
      data.steps.findLastIndex((each) => each <= step),
    );
    const before = Math.max(0, at - 1);
    const layers = this.#layers;
    const chosen = this.#text.selectedIndex;
    const first = data.texts.slice(0, chosen).reduce((sum, { ids }) => sum + ids.length, 0);
    const { ids, text: texts, domain } = data.texts[chosen]!;
    const tokens = ids.map((id, index): TextToken => {
      const of = (time: number, layer: number) => experts[time]![layer]![first + index]!;
      return {
        index,
        text: texts === null ? String(id) : visible(texts[index]!),
        isChanged: layers.some((layer) => of(at, layer) !== of(before, layer)),
        choices: layers.flatMap((layer) =>
          of(at, layer)
            .split(',')
            .filter(Boolean)
            .map((expert) => ({
              layer: data.layers[layer]!,
              expert: Number(expert),
              weight: null,
              outcome: 'kept' as const,
            })),
        ),
      };
    });
    const shares = [data.steps.length - 1, before].map((other) =>
      formatShare(agreement(experts, at, other, layers)),
    );
    const own = data.steps[at] === step ? '' : `step ${data.steps[at]}: `;
    const name = this.#runs.length > 1 ? `${data.name} ` : '';
    const about = `${own}${shares[0]} as at the last step${at === 0 ? '' : `, ${shares[1]} as at step ${data.steps[before]}`}`;
    fill(heading, name, h.small(about));
    text.set(
      tokens,
      layers.map((layer) => data.layers[layer]!),
      `tokens of ${domain} at step ${step}, ${data.name}`,
    );
  }

  /** Tells the experts of a token of the shown text over the steps at which they changed. */
  #showHistory(index: number): void {
    const chosen = this.#text.selectedIndex;
    const { data, experts } = this.#first!;
    const place = data.texts.slice(0, chosen).reduce((sum, { ids }) => sum + ids.length, index);
    const lines = this.#layers.map((layer) => {
      const of = (at: number) => experts[at]![layer]![place]!.replaceAll(',', ' and ') || 'none';
      const changes = data.steps.flatMap((step, at) =>
        at > 0 && of(at) === of(at - 1) ? [] : [`${of(at)} from step ${step}`],
      );
      return `layer ${data.layers[layer]}: expert ${changes.join(', ')}`;
    });
    const { text, ids } = data.texts[chosen]!;
    for (const run of this.#runs) run.text.select(index);
    fill(this.#history, `“${text === null ? ids[index] : visible(text[index]!)}” ${lines.join('; ')}`);
  }

  #togglePlaying(): void {
    const isPlaying = this.#playing !== undefined;
    clearInterval(this.#playing);
    this.#playing = isPlaying ? undefined : window.setInterval(() => this.#next(), PLAY_MS);
    if (!isPlaying && this.#slider.value === this.#slider.max) this.#move(0);
    const label = isPlaying ? 'play' : 'pause';
    fill(this.#play, icon(label));
    for (const name of ['aria-label', 'title']) this.#play.setAttribute(name, label);
  }

  #next(): void {
    if (this.#slider.value === this.#slider.max) this.#togglePlaying();
    else this.#move(Number(this.#slider.value) + 1);
  }

  #move(at: number): void {
    this.#slider.value = String(at);
    this.#showStep();
  }

  #filePicker(): HTMLElement {
    const input = h.input({
      type: 'file',
      accept: '.csv',
      on: { change: () => void this.#open(input.files?.[0]) },
    });
    return h.label(
      { class: 'watch-file', title: 'a table of step, token, layer, expert' },
      'Open CSV',
      input,
    );
  }

  async #open(file: File | undefined): Promise<void> {
    if (file === undefined) return;
    try {
      const routes = parseRoutes(await file.text(), file.name);
      this.#isOpened = true;
      fill(this.#problem);
      this.#fill([routes]);
    } catch (error) {
      fill(this.#problem, (error as Error).message);
    }
  }
}

/** Draws two lines over the steps, shares from 0 to 1, and a mark for the shown step. */
function plot(last: readonly number[], before: readonly number[]): SVGElement {
  const svg = shape('svg', {
    viewBox: `0 0 100 ${HEIGHT}`,
    preserveAspectRatio: 'none',
    'aria-hidden': 'true',
  });
  const pointsOf = (shares: readonly number[], from: number) =>
    shares
      .map(
        (share, at) => `${(100 * at) / Math.max(1, shares.length - 1)} ${(HEIGHT * (1 - share)).toFixed(2)}`,
      )
      .slice(from);
  // The first step has none before it.
  for (const [name, points] of Object.entries({ before: pointsOf(before, 1), last: pointsOf(last, 0) }))
    svg.append(shape('path', { class: name, d: points.length > 0 ? `M${points.join('L')}` : '' }));
  svg.append(shape('path', { class: 'now' }));
  return svg;
}

function sameText(a: ProbeData, b: ProbeData): boolean {
  return a.steps.length > 0 && JSON.stringify([a.texts, a.layers]) === JSON.stringify([b.texts, b.layers]);
}

/** Replaces the options, and keeps the one that is chosen. */
function choices(select: HTMLSelectElement, texts: readonly string[]): void {
  const chosen = select.selectedIndex;
  fill(select, ...texts.map((text) => h.option(text)));
  select.selectedIndex = texts[chosen] === undefined ? 0 : chosen;
}
