import { h, percent } from '../browser/dom.js';
import { shown } from '../browser/token-list.js';
import type { ReadToken } from './read-tokens.js';

const KINDS = { start: 'begins or ends a text', prompt: 'of the prompt', generated: 'generated' } as const;

/** Shows the choices of a token in each layer: a bar as long as the weight. */
export function readDetail(token: ReadToken, styleOf: (expert: number) => string): HTMLElement {
  const layers = token.layers.map(({ layer, choices }) =>
    h(
      'section',
      {},
      h('h3', {}, `layer ${layer}`, h('small', {}, choices.length === 0 ? 'no expert took it' : '')),
      ...choices.map(({ expert, weight, outcome, score }) => {
        const took = outcome === 'kept';
        return h(
          'div',
          { class: took ? 'expert took' : 'expert', style: styleOf(expert), title: outcome },
          h('span', { class: 'number' }, String(expert)),
          h('span', { class: 'bar' }, h('i', { style: `width: ${took ? 100 * Math.min(1, weight) : 0}%` })),
          h('span', { class: 'value' }, score === null ? '' : score.toFixed(3)),
          h('span', { class: 'weight' }, took ? percent(weight) : ''),
        );
      }),
    ),
  );
  const note =
    token.id === null
      ? 'The last token of an answer is not read: nothing is generated from it.'
      : 'In percent: weight of the output of an expert. Before it the score by which it was chosen, where there is one.';
  return h(
    'div',
    { class: 'detail' },
    h(
      'p',
      { class: 'detail-token' },
      h('b', {}, shown(token)),
      h('small', {}, token.id === null ? KINDS[token.kind] : `token ${token.id}, ${KINDS[token.kind]}`),
    ),
    ...layers,
    h('p', { class: 'hint' }, note),
  );
}
