import { allGather } from '../../collectives/all-gather.js';
import { hashCounts } from '../../collectives/all-to-all.js';
import { nodeOf, type Topology } from '../../collectives/topology.js';
import { gatherRows, scatterRows } from '../../ops/operations.js';
import { tf } from '../../ops/tensorflow.js';
import type { RoutingDecision } from '../../routing/router.js';
import { allToAllRows, type RowLayout } from './all-to-all-rows.js';
import { combine, dispatch, dispatchLayout } from './dispatch-layout.js';
import type { DispatchContext, Dispatcher } from './dispatcher.js';

// Shapes: T tokens of this rank, K choices of a token, N rows sent to other nodes, R rows received from them,
// M = T + R, d hidden size, E experts.

/**
 * Dispatches in two hops without duplicates (HierMoE, arXiv 2508.09591, section 4.1): a token goes once to each other
 * node that has experts of the token's choice, to the rank with the same local rank, together with its choices and
 * weights. That rank dispatches it inside its node like its own tokens and returns the weighted sum of the outputs.
 * Between nodes a token costs one row per node each way, however many of the node's experts it chose.
 *
 * Every expert must have one owner. A token's outputs are summed node by node, so the sum may differ in the
 * last bits from the other dispatchers'.
 */
export function deduplicated(context: DispatchContext): Dispatcher {
  const { topology } = context.communicator;
  const between = { ...context, reach: 'other nodes' } as const;
  const inside = { ...context, reach: 'node' } as const;
  return (xTD, decision, experts) => {
    const { numChoices, weightsTK } = decision;
    const [numTokens, width] = xTD.shape;
    const { tokensN, sent, received, countsHash, expertsMK } = announceCrossing(decision, context);

    const rowsN = gatherRows(xTD, tokensN);
    const arrivedR = allToAllRows(
      weightsTK === null ? rowsN : tf.concat([rowsN, gatherRows(weightsTK, tokensN)], 1),
      {
        ...between,
        from: sent,
        to: received,
        countsHash,
        purpose: { forward: 'dispatch to nodes', backward: 'dispatch to nodes gradient' },
      },
    );
    const numArrived = received.numRows;
    const xMD = tf.concat([xTD, tf.slice(arrivedR, [0, 0], [numArrived, width])], 0);
    const weightsMK =
      weightsTK === null
        ? null
        : tf.concat([weightsTK, tf.slice(arrivedR, [0, width], [numArrived, numChoices])], 0);

    const keptE = new Int32Array(decision.keptE.length);
    for (const expert of expertsMK) if (expert >= 0) keptE[expert]!++;
    const choices = { expertsTK: expertsMK, numChoices, keptE };
    const layout = dispatchLayout(choices, topology, context.placement, countsInNode(keptE, context));
    const rows = dispatch(gatherRows(xMD, layout.scatter.tokensN), layout, inside);
    const outputs = combine(experts.run(rows, layout.rowsOfLocalExpert), layout, inside);
    const yMD = scatterRows(outputs, weightsMK, layout.scatter);

    const homeN = allToAllRows(tf.slice(yMD, [numTokens, 0], [numArrived, width]), {
      ...between,
      from: received,
      to: sent,
      countsHash,
      purpose: { forward: 'combine from nodes', backward: 'combine from nodes gradient' },
    });
    const fromNodes = scatterRows(homeN, null, { numTokens, tokensN, choicesN: tokensN });
    return tf.add(tf.slice(yMD, [0, 0], [numTokens, width]), fromNodes);
  };
}

interface Crossing {
  /** Tokens that are sent to other nodes, grouped by node; a token that is sent to two nodes occurs twice. */
  readonly tokensN: Int32Array;
  readonly sent: RowLayout;
  readonly received: RowLayout;
  /** Choices of this node's experts by this rank's tokens, then by received ones; -1 for none. [M, K] */
  readonly expertsMK: Int32Array;
  readonly countsHash: number;
}

/** Sends the other nodes the list of tokens that they will receive, with their choices. */
function announceCrossing(
  { expertsTK, numChoices, keptE }: Pick<RoutingDecision, 'expertsTK' | 'numChoices' | 'keptE'>,
  { communicator, layer, placement }: DispatchContext,
): Crossing {
  const { topology, transport } = communicator;
  const { node, numNodes, workersPerNode, localRank } = topology;
  const nodeOfExpert = keptE.map((_, expert) =>
    nodeOf(topology, placement.rankOfExpert(topology.rank, expert)),
  );
  const tokensOfNode = Array.from({ length: numNodes }, () => [] as number[]);
  expertsTK.forEach((expert, choice) => {
    if (expert < 0 || nodeOfExpert[expert] === node) return;
    const tokens = tokensOfNode[nodeOfExpert[expert]!]!;
    const token = Math.floor(choice / numChoices);
    if (tokens.at(-1) !== token) tokens.push(token);
  });
  const onlyOf = (target: number, choices: Int32Array) =>
    choices.map((expert) => (expert >= 0 && nodeOfExpert[expert] === target ? expert : -1));
  const choicesOf = (token: number) => expertsTK.subarray(token * numChoices, (token + 1) * numChoices);

  const mine = Int32Array.from(tokensOfNode, (tokens) => tokens.length);
  const countsOfRank = allGather(transport, {
    mine,
    purpose: 'rows between nodes',
    layer,
  });
  const counterpart = (other: number) => other * workersPerNode + localRank;
  const sent = layoutOf(topology, (other) => mine[other]!, counterpart);
  const received = layoutOf(topology, (other) => countsOfRank[counterpart(other)]![node]!, counterpart);

  const choicesNK = new Int32Array(sent.numRows * numChoices);
  let row = 0;
  tokensOfNode.forEach((tokens, target) => {
    for (const token of tokens) choicesNK.set(onlyOf(target, choicesOf(token)), numChoices * row++);
  });
  const arrivedRK = new Int32Array(received.numRows * numChoices);
  const countsHash = hashCounts(countsOfRank);
  const piecesOf = (choices: Int32Array, { rangesOfRank }: RowLayout) =>
    rangesOfRank.map((ranges) =>
      ranges.map(({ begin, count }) =>
        bytesOf(choices.subarray(begin * numChoices, (begin + count) * numChoices)),
      ),
    );
  communicator.allToAll({
    sends: piecesOf(choicesNK, sent),
    receives: piecesOf(arrivedRK, received),
    purpose: 'choices',
    layer,
    countsHash,
    reach: 'other nodes',
  });

  const expertsMK = new Int32Array(expertsTK.length + arrivedRK.length);
  expertsMK.set(onlyOf(node, expertsTK));
  expertsMK.set(arrivedRK, expertsTK.length);
  return { tokensN: Int32Array.from(tokensOfNode.flat()), sent, received, expertsMK, countsHash };
}

/** Returns the choices per expert by rank of the world; zero for ranks of other nodes. */
function countsInNode(keptE: Int32Array, { communicator, layer }: DispatchContext): Int32Array[] {
  const { topology } = communicator;
  const keptOfRank = Array.from({ length: topology.worldSize }, () => new Int32Array(keptE.length));
  communicator.allToAll({
    sends: keptOfRank.map(() => [bytesOf(keptE)]),
    receives: keptOfRank.map((counts) => [bytesOf(counts)]),
    purpose: 'counts in node',
    layer,
    reach: 'node',
  });
  return keptOfRank;
}

/** Returns the rows sent to, or received from, the counterpart on each other node, in the order of the nodes. */
function layoutOf(
  { worldSize, numNodes, node }: Topology,
  countOf: (other: number) => number,
  counterpart: (other: number) => number,
): RowLayout {
  const rangesOfRank: { begin: number; count: number }[][] = Array.from({ length: worldSize }, () => []);
  let numRows = 0;
  for (let other = 0; other < numNodes; other++) {
    if (other === node) continue;
    const count = countOf(other);
    rangesOfRank[counterpart(other)]!.push({ begin: numRows, count });
    numRows += count;
  }
  return { numRows, rangesOfRank };
}

function bytesOf(values: Int32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
