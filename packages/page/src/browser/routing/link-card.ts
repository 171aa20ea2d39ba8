import type { LinkMatrix, StepRoutes } from '../../api-types.js';
import { fill, h, heading, picker } from '../dom.js';
import { formatBytes, formatShare } from '../format.js';
import { linkMatrix } from '../link-matrix.js';

/** A matrix of more ranks does not fit the card, so nodes are shown first. */
const MOST_RANKS = 16;

/** Bytes that the recorded choices of a step sent from rank to rank, or from node to node. */
export class LinkCard {
  readonly #about = h.p({ class: 'hint' });
  readonly #matrix = h.div();
  readonly #picker = picker('places of the links', { rank: 'ranks', node: 'nodes' }, (kind) => {
    this.#kind = kind;
    this.#draw();
  });
  readonly element = h.section(
    { class: 'card route-links', 'aria-label': 'Links' },
    heading('Links', 'bytes of kept choices in one direction, all layers', this.#picker),
    this.#about,
    this.#matrix,
  );
  #kind: 'rank' | 'node' | null = null;
  #routes: StepRoutes | null = null;

  set(routes: StepRoutes): void {
    this.#routes = routes;
    this.#draw();
  }

  #draw(): void {
    if (this.#routes === null) return;
    const { ranks, nodes } = this.#routes;
    const wanted = this.#kind ?? ((ranks?.places.length ?? Infinity) <= MOST_RANKS ? 'rank' : 'node');
    const kind = ranks === null ? 'node' : wanted;
    this.#picker.value = kind;
    this.#picker.hidden = ranks === null;
    this.#about.textContent = sharesOf(ranks ?? nodes);
    fill(this.#matrix, linkMatrix(kind === 'rank' ? ranks! : nodes, kind));
  }
}

/** Writes "1.5 MB: 33 % within nodes, 67 % over the network; 25 % of the kept choices stay on their rank". */
function sharesOf({ places, nodes, bytes, choices }: LinkMatrix): string {
  let [all, far, kept, own] = [0, 0, 0, 0];
  for (let from = 0; from < places.length; from++)
    for (let to = 0; to < places.length; to++) {
      all += bytes[from]![to]!;
      kept += choices[from]![to]!;
      if (nodes[from] !== nodes[to]) far += bytes[from]![to]!;
      if (from === to) own += choices[from]![to]!;
    }
  const stay = `${formatShare(kept === 0 ? 0 : own / kept)} of the kept choices stay where they are`;
  if (all === 0) return `nothing is sent: ${stay}`;
  return `${formatBytes(all)}: ${formatShare(1 - far / all)} within nodes, ${formatShare(far / all)} over the network; ${stay}`;
}
