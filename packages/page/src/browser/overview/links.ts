import type { LinkBytes } from '@locmoe/run-format/row-traffic';
import { h, heading, picker, refill } from '../dom.js';
import { formatBytes, formatShare } from '../format.js';
import { linkMatrix } from '../link-matrix.js';

/** Bytes of token rows that ranks, or nodes, sent each other in a step, forward and backward. */
export class Links {
  readonly #about = h.small();
  readonly #picker = picker('what sends and receives', { rank: 'by rank', node: 'by node' }, (kind) => {
    this.#kind = kind;
    this.#draw();
  });
  readonly #matrix = h.div();
  readonly #summary = h.p({ class: 'hint' });
  readonly element = h.section(
    { class: 'card links', 'aria-label': 'Bytes by link', hidden: true },
    heading('Bytes by link', this.#about, this.#picker),
    this.#summary,
    this.#matrix,
  );
  #kind: 'rank' | 'node' = 'rank';
  #links: LinkBytes | null = null;

  /** @param links null hides the card @param about text beside the title that says which steps are shown */
  set(links: LinkBytes | null, about = ''): void {
    this.#links = links;
    this.element.hidden = links === null;
    this.#about.textContent = about;
    this.#draw();
  }

  #draw(): void {
    if (this.#links === null) return;
    const { between, numNodes, bytes } = this.#links;
    const ofNodes = between === 'nodes' ? bytes : byNode(bytes, numNodes);
    const hasBoth = between === 'ranks' && numNodes > 1;
    const kind = hasBoth ? this.#kind : between === 'ranks' ? 'rank' : 'node';
    this.#picker.hidden = !hasBoth;
    this.#picker.value = kind;
    this.#summary.textContent = summaryOf(bytes, ofNodes);
    const shown = kind === 'rank' ? bytes : ofNodes;
    const places = shown.map((_, place) => place);
    const nodes = places.map((place) => Math.floor((place * numNodes) / places.length));
    // The matrix is redrawn only on changes, as a new one would lose the focus.
    refill(this.#matrix, [kind, shown], () => [linkMatrix({ places, nodes, bytes: shown }, kind)]);
  }
}

/** Writes "3.8 MB a step, 67 % of them between nodes; the busiest link has 1.08x the mean". */
function summaryOf(bytes: LinkBytes['bytes'], ofNodes: LinkBytes['bytes']): string {
  const all = sum(bytes.flat());
  const inside = sum(ofNodes.map((toEach, node) => toEach[node] ?? 0));
  const others = bytes.flatMap((toEach, from) => toEach.filter((_, to) => to !== from));
  const total = `${formatBytes(all)} a step`;
  if (sum(others) === 0) return total;
  const crossing = ofNodes.length === 1 ? '' : `, ${formatShare(1 - inside / all)} of them between nodes`;
  const most = (Math.max(...others) * others.length) / sum(others);
  return `${total}${crossing}; the busiest link has ${most.toFixed(2)}x the mean`;
}

/** Sums bytes over the ranks of each node; the diagonal has those that ranks of the same node send each other. */
function byNode(bytes: LinkBytes['bytes'], numNodes: number): number[][] {
  const ranks = bytes.length / numNodes;
  const ofNode = (node: number) => (_: unknown, rank: number) => Math.floor(rank / ranks) === node;
  const nodes = Array.from({ length: numNodes }, (_, node) => node);
  return nodes.map((from) => {
    const rows = bytes.filter(ofNode(from));
    return nodes.map((to) => sum(rows.flatMap((toEach) => toEach.filter(ofNode(to)))));
  });
}

function sum(values: readonly number[]): number {
  return values.reduce((total, each) => total + each, 0);
}
