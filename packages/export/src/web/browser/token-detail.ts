import { h, percent } from './dom.js';
import type { LayerRouting, ModelConfig, RoutedToken } from './messages.js';
import { shown } from './token-list.js';

/** Shows the scores of a token in each layer's router: a bar for each expert. */
export function tokenDetail(
  token: RoutedToken,
  domain: number,
  config: ModelConfig,
  styleOf: (expert: number) => string,
): HTMLElement {
  const kind = { start: 'start of the text', prompt: 'of the prompt', generated: 'generated' }[token.kind];
  return h(
    'div',
    { class: 'detail' },
    h('p', { class: 'detail-token' }, h('b', {}, shown(token)), h('small', {}, `token ${token.id}, ${kind}`)),
    ...(token.layers.length === 0
      ? [h('p', { class: 'hint' }, 'The prompt is longer than the model sees; this part is cut off.')]
      : token.layers.map((layer, i) => layerDetail(layer, i, domain, config, styleOf))),
    h('p', { class: 'hint' }, explanation(config)),
  );
}

function explanation({ affinities, thresholds }: ModelConfig): string {
  if (affinities === 'number') return 'The router rates no expert. Bars: weight of its output.';
  const bars = meaningOfBars(affinities);
  return thresholds.some((each) => each !== null)
    ? `${bars} An expert takes a token only from its threshold on, the mark.`
    : bars;
}

function meaningOfBars(affinities: string | null): string {
  if (affinities === 'softmax') return 'Bars: how likely each expert is that the domain may use.';
  if (affinities === 'sigmoid') return 'Bars: score, without bias, of each expert that the domain may use.';
  return 'Bars: affinity between token and expert, for a gate its cosine. In percent: weight of its output.';
}

function layerDetail(
  { weights, affinities: rated }: LayerRouting,
  i: number,
  domain: number,
  config: ModelConfig,
  styleOf: (expert: number) => string,
): HTMLElement {
  const open = config.expertsOfDomain[domain]!;
  const thresholds = config.thresholds[i];
  const affinities = config.affinities === 'number' ? weights : rated;
  const values = open.map((expert) => affinities[expert]!);
  const isShare = ['softmax', 'sigmoid', 'number'].includes(config.affinities!);
  // Cosines with gates are small, so bars are relative to the greatest value. An expert that has never
  // refused a token has no threshold, which is represented by a value below every cosine.
  const marks = thresholds ? open.map((expert) => thresholds[expert]!).filter((mark) => mark >= -1) : [];
  const greatest = 1.05 * Math.max(1e-6, ...[...values, ...marks].map(Math.abs));
  const least = isShare ? 0 : -greatest;
  const share = (value: number) =>
    (100 * (Math.max(least, Math.min(greatest, value)) - least)) / (greatest - least);
  const note = weights.every((weight) => weight <= 0)
    ? 'no expert took this token: it skips the experts'
    : '';
  return h(
    'section',
    {},
    h('h3', {}, `layer ${config.sparseLayers[i]}`, h('small', {}, note)),
    ...open.map((expert) => {
      const threshold = thresholds?.[expert];
      const affinity = affinities[expert]!;
      const bar = h('span', { class: 'bar' }, h('i', { style: `width: ${share(affinity).toFixed(1)}%` }));
      if (threshold !== undefined && threshold > least) {
        const style = `left: ${share(threshold).toFixed(1)}%`;
        bar.append(h('u', { style, title: `threshold ${threshold.toFixed(3)}` }));
      }
      const weight = weights[expert]!;
      return h(
        'div',
        { class: weight > 0 ? 'expert took' : 'expert', style: styleOf(expert) },
        h('span', { class: 'number' }, String(expert)),
        bar,
        h('span', { class: 'value' }, isShare ? percent(affinity) : affinity.toFixed(3)),
        h('span', { class: 'weight' }, weight > 0 ? percent(weight) : ''),
      );
    }),
  );
}
