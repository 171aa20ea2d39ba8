import type { RouteRow } from '@locmoe/run-format/routes-file';
import { ROW_DIRECTIONS, type RowDirection, type SentRows } from '@locmoe/run-format/row-traffic';

/** Bytes of rows from each rank (first index) to each rank, [W, W]. */
export type Links = readonly (readonly number[])[];

/** Bytes by link in one sparse layer and direction. */
export interface LayerTraffic {
  readonly layer: number;
  readonly direction: RowDirection;
  readonly bytes: Links;
}

/** How the ranks of a run exchange rows, which decides the rows that the choices of a token become. */
export type Exchange = Omit<SentRows, 'sent' | 'share'>;

/** Sums the traffic that the ranks of one step measured, given the rows sent by each rank. */
export function measuredTraffic(sentOfRank: readonly SentRows[]): LayerTraffic[] {
  const worldSize = sentOfRank.length;
  return inOrder(
    sentOfRank.flatMap(({ sent }, rank) =>
      sent.map(({ layer, direction, toRank }) => ({ layer, direction, rank, toRank })),
    ),
    worldSize,
    (links, { rank, toRank }) => {
      for (let to = 0; to < worldSize; to++) links[rank]![to]! += toRank[to] ?? 0;
    },
  );
}

/** One row of a token on its way to an expert, and the expert's output on its way back. */
interface Trip {
  readonly layer: number;
  readonly from: number;
  readonly to: number;
  /** Bytes of the row on its way out, and of its gradient on the way back. */
  readonly out: number;
  /** Bytes of the output, and of its gradient. */
  readonly back: number;
}

/**
 * Predicts the traffic of one step from its recorded routes, which must be complete. Flat, hierarchical and
 * overlapped exchanges send a row for each kept choice to the expert's rank. A deduplicated exchange sends a
 * token once, with the weights of its choices, to each other node with experts that it chose: to the rank at
 * the same position in that node, and from there a row for each choice.
 */
export function predictedTraffic(rows: readonly RouteRow[], exchange: Exchange): LayerTraffic[] {
  const trips = exchange.crossingBytes === null ? directTrips(rows, exchange) : twoHops(rows, exchange);
  const ofDirections = trips.flatMap((trip) => ROW_DIRECTIONS.map((direction) => ({ ...trip, direction })));
  return inOrder(
    ofDirections,
    exchange.numNodes * exchange.workersPerNode,
    (links, { direction, from, to, out, back }) => {
      if (from === to) return;
      if (direction === 'dispatch') links[from]![to]! += out;
      else if (direction === 'combine') links[to]![from]! += back;
      else if (direction === 'combine gradient') links[from]![to]! += back;
      else links[to]![from]! += out;
    },
  );
}

function directTrips(rows: readonly RouteRow[], { rowBytes }: Exchange): Trip[] {
  return rows
    .filter(({ outcome }) => outcome === 'kept')
    .map(({ layer, rank, expertRank }) => tripOf(layer, rank, expertRank, rowBytes));
}

function twoHops(rows: readonly RouteRow[], { rowBytes, crossingBytes, workersPerNode }: Exchange): Trip[] {
  const trips: Trip[] = [];
  let before: RouteRow | null = null;
  let nodes = new Set<number>();
  for (const row of rows) {
    if (before === null || !isSameToken(before, row)) nodes = new Set();
    before = row;
    const { layer, rank, node, expertRank, expertNode, outcome } = row;
    if (outcome !== 'kept') continue;
    const relay = expertNode === node ? rank : expertNode * workersPerNode + (rank % workersPerNode);
    if (relay !== rank && !nodes.has(expertNode)) {
      nodes.add(expertNode);
      trips.push({ ...tripOf(layer, rank, relay, rowBytes), out: crossingBytes! });
    }
    trips.push(tripOf(layer, relay, expertRank, rowBytes));
  }
  return trips;
}

function tripOf(layer: number, from: number, to: number, rowBytes: number): Trip {
  return { layer, from, to, out: rowBytes, back: rowBytes };
}

/** Tells whether a row is a further choice of the same token as the row before it; packed samples repeat positions. */
function isSameToken(before: RouteRow, row: RouteRow): boolean {
  return (
    row.rank === before.rank &&
    row.layer === before.layer &&
    row.sequence === before.sequence &&
    row.position === before.position &&
    row.choice > before.choice
  );
}

/** Sums the parts by layer and direction, in the order of a step. */
function inOrder<Part extends Pick<LayerTraffic, 'layer' | 'direction'>>(
  parts: readonly Part[],
  worldSize: number,
  add: (links: number[][], part: Part) => void,
): LayerTraffic[] {
  const sums = new Map<string, { layer: number; direction: RowDirection; bytes: number[][] }>();
  for (const part of parts) {
    const { layer, direction } = part;
    const key = `${layer} ${direction}`;
    const bytes = () => Array.from({ length: worldSize }, () => new Array<number>(worldSize).fill(0));
    const sum = sums.get(key) ?? { layer, direction, bytes: bytes() };
    sums.set(key, sum);
    add(sum.bytes, part);
  }
  const place = ({ layer, direction }: LayerTraffic) =>
    layer * ROW_DIRECTIONS.length + ROW_DIRECTIONS.indexOf(direction);
  return [...sums.values()].sort((a, b) => place(a) - place(b));
}
