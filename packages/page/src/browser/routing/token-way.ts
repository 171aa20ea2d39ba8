import type { SequenceRoutes } from '../../api-types.js';
import { button, h, row, scrollable, table } from '../dom.js';
import { formatBytes } from '../format.js';
import { picture, shape } from '../svg.js';
import type { Choice, ShownToken } from './choices.js';
import { expertStyle } from './expert-colors.js';

const LANE = 30;
const ROW = 30;
/** With more ranks, only the token's own rank and its destinations have a lane. */
const MOST_LANES = 12;

/** A rank and its node. */
interface Lane {
  readonly rank: number;
  readonly node: number;
}

interface WayOptions {
  readonly sequence: SequenceRoutes;
  /** All ranks of the step, ascending. */
  readonly lanes: readonly Lane[];
  readonly onExpert: (layer: number, expert: number) => void;
}

const NUMBERS = {
  gate: 'gate',
  bias: 'bias',
  preference: 'preference',
  score: 'score',
  margin: 'margin',
  entropy: 'entropy',
  weight: 'weight',
} as const satisfies Partial<Record<keyof Choice, string>>;
const NAMES = Object.keys(NUMBERS) as (keyof typeof NUMBERS)[];

/** What the columns mean, as docs/routes.md says it. */
const MEANINGS: Readonly<Record<keyof typeof NUMBERS, string>> = {
  gate: 'score of the gate alone',
  bias: 'bias of the expert',
  preference: 'preference of the token id for the expert',
  score: 'gate + bias + preference, by which experts are ranked',
  margin: 'the best score less the second best',
  entropy: 'entropy of the gate over the open experts, in nats',
  weight: "weight of the expert's output",
};

/**
 * Draws the path of a token: a row for each choice, with the ranks as lanes, and everything that decided the
 * choice.
 */
export function tokenWay({ choices }: ShownToken, { sequence, lanes, onExpert }: WayOptions): HTMLElement {
  const home = { rank: sequence.rank, node: sequence.node };
  const shown = lanesOf(lanes, [home, ...choices]);
  const names = NAMES.filter((name) => choices.some((choice) => choice[name] !== null));
  const hasSeveral = choices.some(({ choice }) => choice > 0);
  const hasGate = choices.some(({ gateExpert }) => gateExpert !== null);
  const isSent = choices.some(({ bytes }) => bytes > 0);
  const head = [
    'layer',
    ...(hasSeveral ? ['choice'] : []),
    h.th(
      { scope: 'col', class: 'lanes-head' },
      h.span({ class: 'unseen' }, 'way'),
      laneNames(shown, home.rank),
    ),
    'expert',
    'outcome',
    'on',
    ...names.map((name) => h.th({ scope: 'col', class: 'number', title: MEANINGS[name] }, NUMBERS[name])),
    ...(hasGate
      ? [h.th({ scope: 'col', title: 'open expert that the gate alone ranks first' }, "gate's first")]
      : []),
    ...(isSent
      ? [h.th({ scope: 'col', class: 'number', title: 'activations in one direction' }, 'sent')]
      : []),
  ];
  const rows = choices.map((choice, at) =>
    row(
      { class: choice.layer === choices[at - 1]?.layer ? 'way-choice' : 'way-choice begins-layer' },
      String(choice.layer),
      ...(hasSeveral ? [String(choice.choice)] : []),
      h.td({ class: 'lanes-cell' }, excursion(choice, shown, home.rank)),
      h.td(expertButton(choice, onExpert)),
      h.td(outcomeOf(choice)),
      `rank ${choice.rank}, node ${choice.node}`,
      ...names.map((name) => h.td({ class: 'number' }, formatScore(choice[name]))),
      ...(hasGate ? [gateCell(choice)] : []),
      ...(isSent ? [h.td({ class: 'number' }, choice.bytes === 0 ? '' : formatBytes(choice.bytes))] : []),
    ),
  );
  return scrollable('way of the token, a row for each choice', h.div({ class: 'way' }, table(head, rows)));
}

function lanesOf(lanes: readonly Lane[], visited: readonly Lane[]): Lane[] {
  const known = new Map([...lanes, ...visited].map(({ rank, node }) => [rank, { rank, node }]));
  const all = [...known.values()].sort((a, b) => a.rank - b.rank);
  if (all.length <= MOST_LANES) return all;
  return all.filter(({ rank }) => visited.some((lane) => lane.rank === rank));
}

/** Creates the names of nodes and ranks above their lanes. */
function laneNames(lanes: readonly Lane[], home: number): HTMLElement {
  const nodes = [...new Set(lanes.map(({ node }) => node))].map((node) => {
    const width = LANE * lanes.filter((lane) => lane.node === node).length;
    return h.span({ style: { width: `${width}px` } }, width === LANE ? `n${node}` : `node ${node}`);
  });
  const ranks = lanes.map(({ rank, node }) =>
    h.span({ class: rank === home ? 'is-home' : '', title: `rank ${rank}, node ${node}` }, String(rank)),
  );
  return h.div(
    { class: 'lane-names', 'aria-hidden': 'true' },
    h.div({ class: 'lane-nodes' }, ...nodes),
    h.div(...ranks),
  );
}

/** Draws a line from the token's rank to that of the expert and back; broken off where the choice was not kept. */
function excursion({ rank, link, outcome }: Choice, lanes: readonly Lane[], home: number): SVGElement {
  const xOf = (wanted: number) => LANE * (lanes.findIndex((lane) => lane.rank === wanted) + 0.5);
  const [x, y] = [xOf(rank), ROW / 2];
  const from = xOf(home);
  const isKept = outcome === 'kept';
  const isAway = rank !== home;
  const bend = `M ${from} 0 C ${from} ${y}, ${from} ${y}, ${x} ${y}`;
  const back = `C ${from} ${y}, ${from} ${y}, ${from} ${ROW}`;
  const shapes = lanes.map((lane) => shape('path', { class: 'lane', d: `M ${xOf(lane.rank)} 0 V ${ROW}` }));
  const divides = lanes.flatMap(({ node }, at) =>
    at > 0 && lanes[at - 1]!.node !== node
      ? [shape('path', { class: 'divide', d: `M ${LANE * at} 0 V ${ROW}` })]
      : [],
  );
  if (!isKept || !isAway) shapes.push(shape('path', { class: 'trail', d: `M ${from} 0 V ${ROW}` }));
  if (isAway)
    shapes.push(
      shape('path', {
        class: `trail is-${link} ${isKept ? '' : 'is-broken'}`,
        d: isKept ? `${bend} ${back}` : bend,
      }),
    );
  shapes.push(
    isKept
      ? shape('circle', { class: `stop is-${link}`, cx: x, cy: y, r: 4.5 })
      : shape('path', { class: 'refused', d: `M ${x - 4} ${y - 4} l 8 8 m 0 -8 l -8 8` }),
  );
  return picture(LANE * lanes.length, ROW, ...divides, ...shapes);
}

function expertButton({ layer, expert, outcome }: Choice, onExpert: WayOptions['onExpert']): HTMLElement {
  return button(String(expert), () => onExpert(layer, expert), {
    label: `expert ${expert} of layer ${layer}: its tokens`,
    class: `expert-chip is-${outcome.replace(' ', '-')}`,
    style: expertStyle(expert),
    'data-expert': `${layer}.${expert}`,
  });
}

function gateCell({ gateExpert, expert }: Choice): HTMLTableCellElement {
  const isOther = gateExpert !== null && gateExpert !== expert;
  return h.td({ class: isOther ? '' : 'hint' }, gateExpert === null ? '' : String(gateExpert));
}

const LINKS: Readonly<Record<Choice['link'], string>> = {
  rank: 'stays on its rank',
  node: 'to another rank of its node',
  network: 'over the network',
};
const REASONS: Readonly<Record<Choice['outcome'], string>> = {
  kept: 'kept',
  'over capacity': 'dropped: the expert was full',
  'not chosen': 'dropped: the expert did not choose it',
};

function outcomeOf({ outcome, link }: Choice): HTMLElement {
  if (outcome !== 'kept') return h.span({ class: 'is-dropped' }, REASONS[outcome]);
  return h.span(h.i({ class: `link-mark is-${link}` }), `kept, ${LINKS[link]}`);
}

function formatScore(value: number | null): string {
  return value === null ? '' : value.toFixed(3);
}

/** Writes "2 choices: 1 kept, 1 over the network, 512 B one way". */
export function wayInWords({ choices }: ShownToken): string {
  const kept = choices.filter(({ outcome }) => outcome === 'kept');
  if (choices.length === 0) return 'no expert took this token in any layer: it skips the experts';
  const away = kept.filter(({ link }) => link !== 'rank');
  const far = kept.filter(({ link }) => link === 'network').length;
  const bytes = away.reduce((sum, choice) => sum + choice.bytes, 0);
  const dropped = choices.length - kept.length;
  return [
    `${kept.length} of ${choices.length} choices kept`,
    dropped > 0 && `${dropped} dropped`,
    away.length > 0
      ? `${away.length} sent to another rank, ${far} of them over the network: ${formatBytes(bytes)} one way`
      : 'all on its own rank',
  ]
    .filter(Boolean)
    .join(', ');
}
