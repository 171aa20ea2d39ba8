import { h, row, scrollable, table } from './dom.js';
import { formatBytes } from './format.js';

/** Ascending ranks or nodes, and the bytes between them. */
export interface LinkBytes {
  readonly places: readonly number[];
  /** Node of each place. */
  readonly nodes: readonly number[];
  /** Bytes sent, shape [from, to]. */
  readonly bytes: readonly (readonly number[])[];
}

/**
 * Creates a table of the bytes between places: darker cells have more bytes; lines separate nodes.
 *
 * @param kind what the places are
 */
export function linkMatrix({ places, nodes, bytes }: LinkBytes, kind: 'rank' | 'node'): HTMLElement {
  const most = Math.max(1, ...bytes.flat());
  const begins = (at: number) =>
    kind === 'rank' && at > 0 && nodes[at] !== nodes[at - 1] ? 'begins-node' : '';
  const head = [
    h.th({ scope: 'col', class: 'corner' }, 'from \\ to'),
    ...places.map((place, to) => h.th({ scope: 'col', class: begins(to) }, `${kind} ${place}`)),
  ];
  const rows = places.map((place, from) =>
    row(
      { class: begins(from) },
      `${kind} ${place}`,
      ...places.map((other, to) => {
        const own = bytes[from]![to]!;
        const title = `${kind} ${place} to ${kind} ${other}: ${formatBytes(own)}`;
        const crosses = kind === 'node' || nodes[from] !== nodes[to];
        const style = { '--share': String(own / most) };
        const name = `${from === to ? 'is-own' : ''} ${crosses ? 'is-network' : 'is-node'}`;
        const text = own === 0 ? (from === to ? '·' : '0') : formatBytes(own);
        return h.td({ class: begins(to), title }, h.div({ class: `number link-cell ${name}`, style }, text));
      }),
    ),
  );
  return scrollable(`bytes from ${kind} to ${kind}`, h.div({ class: 'link-matrix' }, table(head, rows)));
}
