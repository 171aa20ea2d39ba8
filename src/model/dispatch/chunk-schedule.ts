import { nodeOf, type Topology } from '../../collectives/topology.js';
import type { RowLayout, RowRange } from './all-to-all-rows.js';
import type { DispatchLayout } from './dispatch-layout.js';

/** Consecutive received rows of one local expert. */
export interface ExpertRows extends RowRange {
  /** Index among the experts of this rank. */
  readonly expert: number;
}

/** Rows that are sent together, in dispatch and combine; the experts run on them as soon as they arrive. */
export interface Chunk {
  readonly sent: RowLayout;
  readonly received: RowLayout;
  /** Work by expert; it covers every row of `received` once. */
  readonly work: readonly ExpertRows[];
}

/**
 * The rows of a sparse layer in chunks that hide communication between nodes behind the experts' computation.
 * Half of this node's rows, which need no network, are computed while the first chunk arrives, the other half
 * while the last results leave. Rows keep their places, so the result has the same bits.
 */
export interface ChunkSchedule {
  readonly local: Chunk;
  readonly remote: readonly Chunk[];
  /** The two halves of `local.work`. */
  readonly first: readonly ExpertRows[];
  readonly last: readonly ExpertRows[];
}

/**
 * @param degree number of chunks of other nodes' rows: split by rank, and each rank's rows in equal parts if
 *   there are fewer ranks
 */
export function scheduleChunks(layout: DispatchLayout, topology: Topology, degree: number): ChunkSchedule {
  const { rank, node, numNodes, workersPerNode } = topology;
  const numRemote = (numNodes - 1) * workersPerNode;
  const numGroups = Math.min(degree, numRemote);
  const numParts = Math.ceil(degree / numRemote);
  /** Returns the group in which a node receives from `source`, a rank of another node. */
  const groupOf = (atNode: number, source: number) => {
    const ahead = nodeOf(topology, source) < atNode ? source : source - workersPerNode;
    return Math.floor((ahead * numGroups) / numRemote);
  };
  const isLocal = (peer: number) => nodeOf(topology, peer) === node;
  const chunk = (isSentTo: Wanted, isReceivedFrom: Wanted, index = 0, count = 1): Chunk => {
    const received = cut(layout.received, isReceivedFrom, index, count);
    return {
      sent: cut(layout.sent, isSentTo, index, count),
      received,
      work: workOf(received, layout.rowsOfLocalExpert),
    };
  };
  const local = chunk(isLocal, isLocal);
  return {
    local,
    first: local.work.flatMap((rows) => part(rows, 0, 2)),
    last: local.work.flatMap((rows) => part(rows, 1, 2)),
    remote: Array.from({ length: numGroups * numParts }, (_, i) => {
      const group = Math.floor(i / numParts);
      return chunk(
        (peer) => !isLocal(peer) && groupOf(nodeOf(topology, peer), rank) === group,
        (peer) => !isLocal(peer) && groupOf(node, peer) === group,
        i % numParts,
        numParts,
      );
    }),
  };
}

type Wanted = (peer: number) => boolean;

/** Returns part `index` of `count` of every range of the wanted ranks. */
function cut(
  { numRows, rangesOfRank }: RowLayout,
  isWanted: Wanted,
  index: number,
  count: number,
): RowLayout {
  return {
    numRows,
    rangesOfRank: rangesOfRank.map((ranges, peer) =>
      isWanted(peer) ? ranges.flatMap((range) => part(range, index, count)) : [],
    ),
  };
}

/** Returns part `index` of `count` of a range; nothing if that part is empty. */
function part<Range extends RowRange>(range: Range, index: number, count: number): Range[] {
  const from = Math.floor((index * range.count) / count);
  const to = Math.floor(((index + 1) * range.count) / count);
  return to > from ? [{ ...range, begin: range.begin + from, count: to - from }] : [];
}

/** Returns the rows by expert; adjacent ranges are merged. */
function workOf({ rangesOfRank }: RowLayout, rowsOfLocalExpert: readonly number[]): ExpertRows[] {
  const ranges = rangesOfRank
    .flat()
    .filter(({ count }) => count > 0)
    .sort((a, b) => a.begin - b.begin);
  const work: ExpertRows[] = [];
  let expert = 0;
  let end = rowsOfLocalExpert[0]!;
  for (const { begin, count } of ranges) {
    while (begin >= end) end += rowsOfLocalExpert[++expert]!;
    const previous = work.at(-1);
    if (previous?.expert === expert && previous.begin + previous.count === begin)
      work[work.length - 1] = { ...previous, count: previous.count + count };
    else work.push({ expert, begin, count });
  }
  return work;
}
