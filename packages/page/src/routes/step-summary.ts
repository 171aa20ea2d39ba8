import type { LinkMatrix, StepRoutes } from '../api-routes.js';
import type { StepIndex } from './step-index.js';

const KEPT = 0;
/** Nobody reads a matrix of more ranks; the ranks of a node are then combined. */
const MOST_RANKS = 64;
/** Maximum number of sequences in a reply. A step has as many as were recorded of its global batch. */
const MOST_SEQUENCES = 4_096;

/** Returns what the page shows of a whole step: its sequences, the load of the experts, and the bytes of links. */
export function summaryOf(
  index: StepIndex,
  { numExperts, expertsOfDomain }: Pick<StepRoutes, 'numExperts' | 'expertsOfDomain'>,
): StepRoutes {
  const { columns, layers, domains, length } = index;
  const experts = columns.expert.reduce((most, expert) => Math.max(most, expert + 1), numExperts);
  const layerAt = new Map(layers.map((layer, at) => [layer, at]));
  const routed = layers.map(() => new Array<number>(experts).fill(0));
  const kept = layers.map(() => new Array<number>(experts).fill(0));
  for (let row = 0; row < length; row++) {
    const [at, expert] = [layerAt.get(columns.layer[row]!)!, columns.expert[row]!];
    routed[at]![expert]!++;
    if (columns.outcome[row] === KEPT) kept[at]![expert]!++;
  }
  const first = [...index.rangesOf].slice(0, MOST_SEQUENCES).map(([sequence, [range]]) => {
    const row = range!.begin;
    return {
      sequence,
      domain: domains[columns.domain[row]!]!,
      rank: columns.rank[row]!,
      node: columns.node[row]!,
    };
  });
  const ranks = matrixOf(index, 'rank', 'expertRank');
  return {
    step: index.step,
    problems: index.problems,
    choices: length,
    layers,
    numExperts: experts,
    expertsOfDomain,
    sequences: {
      sequence: first.map(({ sequence }) => sequence),
      domain: first.map(({ domain }) => domain),
      rank: first.map(({ rank }) => rank),
      node: first.map(({ node }) => node),
    },
    routed,
    kept,
    ranks: ranks.places.length > MOST_RANKS ? null : ranks,
    nodes: matrixOf(index, 'node', 'expertNode'),
  };
}

function matrixOf(
  { columns, length }: StepIndex,
  from: 'rank' | 'node',
  to: 'expertRank' | 'expertNode',
): LinkMatrix {
  const nodeOf = new Map<number, number>();
  for (let row = 0; row < length; row++) {
    nodeOf.set(columns[from][row]!, columns.node[row]!);
    nodeOf.set(columns[to][row]!, columns.expertNode[row]!);
  }
  const places = [...nodeOf.keys()].sort((a, b) => a - b);
  const at = new Map(places.map((place, index) => [place, index]));
  const zeros = () => places.map(() => places.map(() => 0));
  const [bytes, choices] = [zeros(), zeros()];
  for (let row = 0; row < length; row++) {
    if (columns.outcome[row] !== KEPT) continue;
    const [i, j] = [at.get(columns[from][row]!)!, at.get(columns[to][row]!)!];
    bytes[i]![j]! += columns.bytes[row]!;
    choices[i]![j]!++;
  }
  return { places, nodes: places.map((place) => nodeOf.get(place)!), bytes, choices };
}
