import type { RouteRow } from '@locmoe/run-format/routes-file';
import { groupBy } from '../../group-by.js';
import { CounterRandom } from '../../parameters/counter-random.js';
import { total } from '../statistics.js';
import { type Codes, encode, join } from './codes.js';
import { type ExpertOverlap, type ExpertRoutes, expertsOf, isKept, overlapsOf } from './experts.js';
import { conditionalEntropy, explained } from './information.js';
import { type Prediction, predict } from './prediction.js';
import { reportedRows, type Stability, stabilityOf } from './stability.js';

/** Facts about a token from which its choice is predicted. */
export const KNOWN = [
  'nothing',
  'domain',
  'position',
  'id',
  'id and domain',
  'id, domain, id before',
] as const;
export type Known = (typeof KNOWN)[number];

/** Permutations of the experts over which the floor of the prediction is averaged. */
const DEALS = 5;

export interface LayerRoutes {
  readonly layer: number;
  readonly choices: number;
  readonly kept: number;
  /** Predictions of the expert, and of the expert with the outcome. */
  readonly predicted: Readonly<Record<'expert' | 'outcome', Readonly<Record<Known, Prediction>>>>;
  /** Share that id and domain predict if the experts are permuted over the rows: the floor of the measure. */
  readonly shuffled: number;
  /** Entropy of the expert given the index of the choice, in bits. */
  readonly entropy: number;
  /** Shares of the entropy that each fact explains, adjusted for chance; null if there is nothing to explain. */
  readonly explained: {
    readonly domain: number | null;
    readonly position: number | null;
    readonly id: number | null;
    readonly 'id and domain': number | null;
    /** Share of the entropy that id and domain leave. */
    readonly 'id before, given id and domain': number | null;
  };
  /** Measures of the gate, over first choices; null without a gate. */
  readonly gate: GateRoutes | null;
  readonly experts: readonly ExpertRoutes[];
  readonly overlaps: readonly ExpertOverlap[];
  /** Percentiles over the experts of an expert's kept choices divided by their mean. */
  readonly load: { readonly p10: number; readonly p50: number; readonly p90: number; readonly max: number };
  /** Each recorded step compared with the one before it. */
  readonly stability: readonly Stability[];
}

export interface GateRoutes {
  /** Share of choices that go to the expert which the gate alone ranks first. */
  readonly share: number;
  /** Mean difference between the best and the second best score; null if only one expert is available. */
  readonly margin: number | null;
  /** Mean entropy of the softmax of the gate, in nats. */
  readonly entropy: number;
  /** Mean squared log-sum-exp of the gate: the router z-loss of ST-MoE (arXiv 2202.08906, eq. 5) without its weight. */
  readonly z: number;
}

/**
 * Reports on each sparse layer. Where the last two steps routed the same text, all but the stability is of the last step alone.
 *
 * @param rows rows of any steps and ranks; rows of one sequence are in its order
 */
export function reportRoutes(rows: readonly RouteRow[]): LayerRoutes[] {
  return [...groupBy(rows, ({ layer }) => layer)]
    .sort(([a], [b]) => a - b)
    .map(([layer, ofLayer]) => reportLayer(layer, ofLayer));
}

function reportLayer(layer: number, allSteps: readonly RouteRow[]): LayerRoutes {
  const stability = stabilityOf(allSteps);
  const rows = reportedRows(allSteps, stability);
  const facts = factsOf(rows);
  const keys = keysOf(facts);
  const sequences = join(join(facts.step, facts.domain), facts.sequence);
  // The halves are drawn at random, as the sequences of a batch alternate between domains.
  const draw = new CounterRandom(1, 'routes.halves');
  const halves = Uint8Array.from(sequences.of, (sequence) => (draw.uniform(sequence) < 0.5 ? 0 : 1));
  const predictAll = (labels: Codes) =>
    Object.fromEntries(
      KNOWN.map((known) => [known, predict(keys[known], labels, halves, sequences)]),
    ) as Record<Known, Prediction>;
  const deals = Array.from({ length: DEALS }, (_, deal) => {
    const order = new CounterRandom(1, `routes.deal.${deal}`).permutation(rows.length);
    const dealt = { of: order.map((row) => facts.expert.of[row]!), count: facts.expert.count };
    return predict(keys['id and domain'], dealt, halves, sequences).share;
  });
  return {
    layer,
    choices: rows.length,
    kept: rows.filter(isKept).length,
    predicted: {
      expert: predictAll(facts.expert),
      outcome: predictAll(join(facts.expert, encode(rows.map(({ outcome }) => outcome)))),
    },
    shuffled: total(deals) / DEALS,
    entropy: conditionalEntropy(facts.expert, facts.choice),
    explained: {
      domain: explained(facts.expert, facts.domain, facts.choice),
      position: explained(facts.expert, facts.position, facts.choice),
      id: explained(facts.expert, facts.id, facts.choice),
      'id and domain': explained(facts.expert, join(facts.id, facts.domain), facts.choice),
      'id before, given id and domain': explained(facts.expert, facts.before, keys['id and domain']),
    },
    gate: gateOf(rows.filter(({ choice }) => choice === 0)),
    experts: expertsOf(rows),
    overlaps: overlapsOf(rows),
    load: loadOf(rows),
    stability,
  };
}

function factsOf(rows: readonly RouteRow[]) {
  return {
    step: encode(rows.map(({ step }) => step)),
    sequence: encode(rows.map(({ sequence }) => sequence)),
    choice: encode(rows.map(({ choice }) => choice)),
    domain: encode(rows.map(({ domain }) => domain)),
    position: encode(rows.map(({ position }) => position)),
    id: encode(rows.map(({ token }) => token)),
    before: encode(idsBefore(rows)),
    expert: encode(rows.map(({ expert }) => expert)),
  };
}

function keysOf({ choice, domain, position, id, before }: ReturnType<typeof factsOf>): Record<Known, Codes> {
  const idAndDomain = join(join(choice, id), domain);
  return {
    nothing: choice,
    domain: join(choice, domain),
    position: join(choice, position),
    id: join(choice, id),
    'id and domain': idAndDomain,
    'id, domain, id before': join(idAndDomain, before),
  };
}

/**
 * Returns the id of the token before each row's token; -1 for the first token of a sequence, and where the token before
 * has no row.
 */
function idsBefore(rows: readonly RouteRow[]): number[] {
  let before: RouteRow | undefined;
  let current: RouteRow | undefined;
  return rows.map((row) => {
    if (
      row.position !== current?.position ||
      row.sequence !== current.sequence ||
      row.step !== current.step
    ) {
      const follows = row.sequence === current?.sequence && row.position === current.position + 1;
      before = follows ? current : undefined;
    }
    current = row;
    return before?.token ?? -1;
  });
}

function gateOf(rows: readonly RouteRow[]): GateRoutes | null {
  const gated = rows.filter(({ gateExpert }) => gateExpert !== null);
  if (gated.length === 0) return null;
  const meanOf = (of: (row: RouteRow) => number) => total(gated.map(of)) / gated.length;
  return {
    share: meanOf(({ expert, gateExpert }) => (expert === gateExpert ? 1 : 0)),
    margin: gated.some(({ margin }) => margin === null) ? null : meanOf(({ margin }) => margin!),
    entropy: meanOf(({ entropy }) => entropy!),
    z: meanOf(({ logSum }) => logSum! ** 2),
  };
}

function loadOf(rows: readonly RouteRow[]): LayerRoutes['load'] {
  const loads = expertsOf(rows)
    .map(({ kept }) => kept)
    .sort((a, b) => a - b);
  const mean = total(loads) / loads.length;
  const percentile = (share: number) => loads[Math.floor(share * (loads.length - 1))]! / mean;
  return { p10: percentile(0.1), p50: percentile(0.5), p90: percentile(0.9), max: percentile(1) };
}
