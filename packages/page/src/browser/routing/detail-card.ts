import type { ExpertRoutes, ExpertsReply, SequenceRoutes, StepRoutes } from '../../api-types.js';
import { fetchExpertRoutes, fetchExperts, problemOf } from '../api.js';
import { button, fill, h, icon } from '../dom.js';
import { pageState, setState } from '../location.js';
import type { ShownToken } from './choices.js';
import { expertInWords, expertPanel, expertTitle } from './expert-panel.js';
import { tokenWay, wayInWords } from './token-way.js';

export interface DetailData {
  readonly runId: string;
  readonly routes: StepRoutes;
  readonly sequence: SequenceRoutes;
  readonly tokens: readonly ShownToken[];
  readonly recorded: readonly number[];
}

/** The card below the text: the path of the chosen token, or the chosen expert. */
export class DetailCard {
  readonly #title = h.div({ class: 'detail-title' });
  readonly #words = h.p({ class: 'detail-words', role: 'status' });
  readonly #body = h.div({ class: 'detail-body' });
  readonly #close = button(
    icon('clear'),
    () => setState(pageState().expert === null ? { token: null } : { expert: null }),
    { label: 'close (Esc)', class: 'bare' },
  );
  readonly element = h.section(
    { class: 'card detail-card', 'aria-label': 'Token or expert' },
    h.header(this.#title, this.#close),
    this.#words,
    this.#body,
  );
  #expertKey = '';
  #data: DetailData | null = null;

  set(data: DetailData): void {
    this.#data = data;
    const { token: index, expert } = pageState();
    const token = data.tokens.find((each) => each.index === index);
    this.element.hidden = expert === null && index === null;
    if (expert !== null) void this.#setExpert(data, expert);
    else this.#expertKey = '';
    if (expert === null && index !== null) this.#setToken(data, token, index);
  }

  #setToken({ routes, sequence }: DetailData, token: ShownToken | undefined, index: number): void {
    if (token === undefined) {
      fill(this.#title, h.h2(`Token ${index}`));
      fill(this.#words, `this sequence has ${sequence.length} tokens`);
      fill(this.#body);
      return;
    }
    const { id, position, document, text } = token;
    fill(
      this.#title,
      h.h2(
        h.b({ class: 'token-name' }, text),
        ' ',
        h.small(
          `token ${id} at position ${position} of document ${document}, on rank ${sequence.rank}, node ${sequence.node}`,
        ),
      ),
    );
    fill(this.#words, wayInWords(token));
    const { places, nodes } = routes.ranks ?? { places: [], nodes: [] };
    const lanes = places.map((rank, at) => ({ rank, node: nodes[at]! }));
    const onExpert = (layer: number, expert: number) =>
      setState({ expert: `${layer}.${expert}`, recorded: routes.step });
    fill(this.#body, token.choices.length > 0 && tokenWay(token, { sequence, lanes, onExpert }));
  }

  async #setExpert(data: DetailData, name: string): Promise<void> {
    const { runId, routes } = data;
    const key = `${runId} ${routes.step} ${name}`;
    if (key === this.#expertKey) return;
    this.#expertKey = key;
    const [layer = 0, expert = 0] = name.split('.').map(Number);
    const hadFocus = this.#body.contains(document.activeElement);
    fill(this.#title, expertTitle(layer, expert));
    fill(this.#words);
    fill(this.#body);
    if (hadFocus) this.#close.focus();
    try {
      const reply = await fetchExpertRoutes(runId, routes.step, layer, expert);
      if (key !== this.#expertKey) return;
      fill(this.#words, expertInWords(reply, routes.numExperts));
      this.#fillExpert(reply, null);
      const load = await fetchExperts(runId, { after: null, layers: [String(layer)] });
      if (key === this.#expertKey) this.#fillExpert(reply, load);
    } catch (error) {
      if (key === this.#expertKey) fill(this.#words, problemOf(error));
    }
  }

  #fillExpert(reply: ExpertRoutes, load: ExpertsReply | null): void {
    const { recorded, routes } = this.#data!;
    const onSequence = (sequence: number) => setState({ sequence, token: null, recorded: routes.step });
    fill(this.#body, ...expertPanel(reply, { numExperts: routes.numExperts, recorded, load, onSequence }));
  }
}
