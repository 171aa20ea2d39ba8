import type { ExpertRoutes, ExpertsReply, TakenToken } from '../../api-types.js';
import { button, h } from '../dom.js';
import { formatCount, formatShare } from '../format.js';
import { overFair, stepsOf } from '../overview/expert-load.js';
import { picture, shape } from '../svg.js';
import { visible } from './choices.js';
import { expertStyle } from './expert-colors.js';

const [WIDTH, HEIGHT] = [320, 72];
/** Padding above and below the curve. */
const PAD = 6;

interface PanelOptions {
  readonly numExperts: number;
  /** Recorded steps of the run. */
  readonly recorded: readonly number[];
  /** Load of the layer's experts over the run; null before it is known. */
  readonly load: ExpertsReply | null;
  readonly onSequence: (sequence: number) => void;
}

/** Returns the panel of an expert: its tokens, domains, load over time and sequences. */
export function expertPanel(reply: ExpertRoutes, options: PanelOptions): HTMLElement[] {
  return [
    h.div(
      { class: 'expert-facts' },
      tokenList('Takes most', 'choices, share of the id', reply.mostTaken, mostOf(reply)),
      tokenList('Most exclusive', 'ids with 5+ choices', reply.mostExclusive, null),
      domainList(reply),
      loadOverTime(reply, options),
      sequenceList(reply, options.onSequence),
    ),
  ];
}

/** Writes "260 of 2,048 choices of the layer (1.02x a fair share), 154 kept, 106 over capacity; on rank 1, node 0". */
export function expertInWords({ outcomes, ofLayer, places }: ExpertRoutes, numExperts: number): string {
  const choices = Object.values(outcomes).reduce((sum, count) => sum + count, 0);
  const parts = Object.entries(outcomes).flatMap(([outcome, count]) =>
    count > 0 ? [`${formatCount(count)} ${outcome}`] : [],
  );
  const where = places.map(({ rank, node }) => `rank ${rank}, node ${node}`);
  const fair = ofLayer === 0 ? 0 : (choices / ofLayer) * numExperts;
  return `${formatCount(choices)} of ${formatCount(ofLayer)} choices of the layer, ${fair.toFixed(2)}x a fair share: ${parts.join(', ')}; on ${where.join(' or ')}`;
}

function mostOf({ mostTaken }: ExpertRoutes): number {
  return Math.max(1, ...mostTaken.map(({ choices }) => choices));
}

/** @param most number of choices that fills a bar; null if bars show shares of the id */
function tokenList(
  title: string,
  about: string,
  tokens: readonly TakenToken[],
  most: number | null,
): HTMLElement {
  const items = tokens.map(({ token, text, choices, share }) =>
    h.li(
      { title: `token ${token}: ${choices} choices, ${formatShare(share)} of those of this id` },
      h.span({ class: 'bar', style: { '--share': String(most === null ? share : choices / most) } }),
      h.b(text === null ? String(token) : visible(text)),
      h.span({ class: 'number' }, formatCount(choices)),
      h.span({ class: 'number hint' }, formatShare(share)),
    ),
  );
  const list = items.length === 0 ? h.p({ class: 'hint' }, 'none') : h.ol({ class: 'taken' }, ...items);
  return h.section(h.h3(title, ' ', h.small(about)), list);
}

function domainList({ domains }: ExpertRoutes): HTMLElement {
  const all = domains.reduce((sum, { choices }) => sum + choices, 0);
  const items = domains.map(({ domain, choices }) =>
    h.li(
      h.span({ class: 'bar', style: { '--share': String(choices / all) } }),
      h.b(domain),
      h.span({ class: 'number' }, formatCount(choices)),
      h.span({ class: 'number hint' }, formatShare(choices / all)),
    ),
  );
  return h.section(h.h3('Domains'), h.ol({ class: 'taken' }, ...items));
}

function sequenceList({ sequences }: ExpertRoutes, onSequence: PanelOptions['onSequence']): HTMLElement {
  const buttons = sequences.map(({ sequence, domain, choices }) =>
    button(`${sequence} · ${domain}`, () => onSequence(sequence), {
      title: `sequence ${sequence}, ${domain}: ${choices} choices`,
    }),
  );
  return h.section({ class: 'expert-sequences' }, h.h3('Texts with most of it'), h.div(...buttons));
}

/** Draws the demand over a fair share in every step of the run; ticks are the recorded steps. */
function loadOverTime({ layer, expert, step }: ExpertRoutes, { load, recorded }: PanelOptions): HTMLElement {
  const routed = load?.routed[load.openLayers.indexOf(layer)] ?? [];
  const title = h.h3('Demand over the run ', h.small('1 is a fair share'));
  if (load === null || routed.length === 0)
    return h.section(
      title,
      h.p(
        { class: 'hint' },
        load === null ? 'is being read' : 'the metrics of this run have no load of experts',
      ),
    );
  const values = routed.map((counts) => overFair(counts)[expert] ?? 0);
  const [first, last] = [stepsOf(load, 0)[0], load.lastStep];
  const most = Math.max(2, ...values);
  const x = (at: number) => (WIDTH * (at - first)) / Math.max(1, last - first);
  const y = (value: number) => PAD + (HEIGHT - 2 * PAD) * (1 - value / most);
  const points = values.map((value, bucket) => {
    const [from, to] = stepsOf(load, bucket);
    return `${x((from + to) / 2).toFixed(1)} ${y(value).toFixed(1)}`;
  });
  const shapes = [
    shape('path', { class: 'fair', d: `M 0 ${y(1)} H ${WIDTH}` }),
    shape('path', { class: 'curve', d: `M ${points.join(' L ')}` }),
    ...recorded.map((at) =>
      shape('path', {
        class: at === step ? 'tick is-shown' : 'tick',
        d: `M ${x(at).toFixed(1)} ${HEIGHT} v ${at === step ? -HEIGHT : -5}`,
      }),
    ),
  ];
  const [least, greatest] = [Math.min(...values), Math.max(...values)];
  const words = `from ${least.toFixed(2)}x to ${greatest.toFixed(2)}x, ${values.at(-1)!.toFixed(2)}x at step ${last}`;
  return h.section(
    { class: 'expert-load' },
    title,
    h.div(picture(WIDTH, HEIGHT, ...shapes)),
    h.p({ class: 'hint' }, words),
  );
}

/** Creates the head of the panel. */
export function expertTitle(layer: number, expert: number): HTMLElement {
  const chip = h.i({ class: 'expert-chip is-kept', style: expertStyle(expert) }, String(expert));
  return h.h2(chip, ` Expert ${expert} of layer ${layer}`);
}
