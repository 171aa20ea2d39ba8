import type { ErrorCode } from './errors.js';
import type { FlightFile, RankFlight } from './flight-file.js';
import type { RecordedOperation } from './flight-span.js';

/** State of a rank from the file of its node. */
export interface FlightRank extends RankFlight {
  readonly node: number;
  /** When the file of its node was written, ms since 1970. */
  readonly writtenMs: number;
  /** The rank's last operation; null before the first. */
  readonly last: RecordedOperation | null;
  /** The rank's own fault, such as "its process 12 has died"; null if none is known. */
  readonly trouble: string | null;
  /**
   * The rank that this one waits for, then the rank that it waits for in turn, and so on; empty if this rank
   * does not wait.
   */
  readonly waitChain: readonly number[];
}

/** A rank's state before waits are resolved. */
type LoneRank = Omit<FlightRank, 'waitChain'>;

/** One operation, merged from all ranks whose files were read. */
export interface MergedOperation {
  readonly sequence: number;
  /** The operation as its first rank recorded it. */
  readonly operation: RecordedOperation;
  readonly entered: readonly number[];
  readonly left: readonly number[];
  /** Ranks that had not entered the operation. */
  readonly missing: readonly number[];
  /** Ranks whose operation, step, layer or counts under this number differ from those of the majority. */
  readonly differing: readonly number[];
  /** The rank that entered last, and how long after the first; null if not all entered. */
  readonly last: { readonly rank: number; readonly lateMs: number } | null;
  /** Time from the last entry to the last exit; null if a rank is still inside or missing. */
  readonly tookMs: number | null;
}

export interface FlightReport {
  readonly runId: string;
  readonly generation: number;
  readonly worldSize: number;
  /** Reason for writing the first file. */
  readonly reason: string;
  readonly ranks: readonly FlightRank[];
  /** Nodes that left no file. */
  readonly missingNodes: readonly number[];
  /** Operations that every ring still holds, oldest first. */
  readonly operations: readonly MergedOperation[];
  /** Ranks that delayed the others; empty if the files do not show any. */
  readonly oddRanks: readonly number[];
  readonly summary: string;
}

/** Process states in which a rank cannot run; a dead rank is reported as a failure instead. */
const STOPPED: Readonly<Record<string, string>> = {
  T: 'is stopped (SIGSTOP)',
  t: 'is stopped by a debugger',
};
/** Errors that are consequences of another failure. */
const CONSEQUENCES: readonly ErrorCode[] = [
  'COLLECTIVE_TIMEOUT',
  'COLLECTIVE_MISMATCH',
  'NODE_LOST',
  'BAD_MESSAGE',
  'ABORTED',
];

/** Merges the files of the nodes of one generation, of which there is at least one. */
export function reportFlight(files: readonly FlightFile[]): FlightReport {
  const first = files.reduce((a, b) => (b.writtenMs < a.writtenMs ? b : a));
  const { runId, generation, numNodes, workersPerNode, reason } = first;
  const ranks = files.flatMap(({ node, writtenMs, ranks: own }) =>
    own.map((rank): LoneRank => {
      const last = rank.operations.at(-1) ?? null;
      return { ...rank, node, writtenMs, last, trouble: troubleOf(rank) };
    }),
  );
  const nodes = Array.from({ length: numNodes }, (_, node) => node);
  const missingNodes = nodes.filter((node) => files.every((file) => file.node !== node));
  const operations = mergeOperations(ranks);
  const oddRanks = findOddRanks(ranks, operations);
  const world: World = { ranks, nodeOf: (rank) => Math.floor(rank / workersPerNode) };
  return {
    runId,
    generation,
    worldSize: numNodes * workersPerNode,
    reason,
    ranks: ranks.map((rank) => ({ ...rank, waitChain: waitChainOf(rank, ranks, oddRanks) })),
    missingNodes,
    operations,
    oddRanks,
    summary: summarize(world, operations, oddRanks),
  };
}

function mergeOperations(ranks: readonly LoneRank[]): MergedOperation[] {
  const bySequence = new Map<number, Map<number, RecordedOperation>>();
  // Operations that one ring has overwritten are known for some ranks only.
  const oldest = Math.max(...ranks.map(({ operations }) => operations[0]?.sequence ?? 0));
  for (const { rank, operations } of ranks)
    for (const operation of operations) {
      if (operation.sequence < oldest) continue;
      const ofRank = bySequence.get(operation.sequence) ?? new Map<number, RecordedOperation>();
      bySequence.set(operation.sequence, ofRank.set(rank, operation));
    }
  return [...bySequence]
    .sort(([a], [b]) => a - b)
    .map(([sequence, ofRank]) => merge(sequence, ofRank, ranks));
}

function merge(
  sequence: number,
  ofRank: ReadonlyMap<number, RecordedOperation>,
  ranks: readonly LoneRank[],
): MergedOperation {
  const entries = [...ofRank].sort(([, a], [, b]) => a.startMs - b.startMs);
  const operations = entries.map(([, operation]) => operation);
  const [lastRank, lastOperation] = entries[entries.length - 1]!;
  const isComplete = entries.length === ranks.length;
  const hasEnded = isComplete && operations.every(({ endMs }) => endMs !== null);
  const inOrder = (list: number[]) => list.sort((a, b) => a - b);
  return {
    sequence,
    operation: operations[0]!,
    entered: inOrder(entries.map(([rank]) => rank)),
    left: inOrder(entries.filter(([, { endMs }]) => endMs !== null).map(([rank]) => rank)),
    missing: ranks
      .filter(({ rank, last }) => !ofRank.has(rank) && (last?.sequence ?? 0) < sequence)
      .map(({ rank }) => rank),
    differing: differing(entries),
    last: isComplete ? { rank: lastRank, lateMs: lastOperation.startMs - operations[0]!.startMs } : null,
    tookMs: hasEnded ? Math.max(...operations.map(({ endMs }) => endMs ?? 0)) - lastOperation.startMs : null,
  };
}

function differing(entries: readonly (readonly [number, RecordedOperation])[]): number[] {
  const groups = new Map<string, number[]>();
  for (const [rank, { kind, purpose, layer, step, countsHash }] of entries) {
    const key = JSON.stringify([kind, purpose, layer, step, countsHash]);
    groups.set(key, [...(groups.get(key) ?? []), rank]);
  }
  const [, ...others] = [...groups.values()].sort((a, b) => b.length - a.length);
  return others.flat().sort((a, b) => a - b);
}

/** Returns the sequence number of the operation that the rank has to finish next. */
function frontierOf({ last }: LoneRank): number {
  if (last === null) return 1;
  return last.endMs === null ? last.sequence : last.sequence + 1;
}

function isInside({ last }: LoneRank): boolean {
  return last !== null && last.endMs === null;
}

/**
 * Finds the ranks that delayed the others. These are the ranks in another operation than most; if there are
 * none, those that failed by themselves or are stopped; otherwise, among the ranks furthest behind, those
 * outside an operation, or the one that most others wait for. A rank without a file is found through those
 * that wait for it.
 */
function findOddRanks(ranks: readonly LoneRank[], operations: readonly MergedOperation[]): number[] {
  const split = operations.find((operation) => operation.differing.length > 0);
  if (split !== undefined) return [...split.differing];
  const fallen = ranks.filter(({ trouble }) => trouble !== null);
  if (fallen.length > 0 || !ranks.some(isInside)) return fallen.map(({ rank }) => rank);
  const behind = Math.min(...ranks.map(frontierOf));
  const suspects = ranks.filter((rank) => frontierOf(rank) === behind);
  const absent = suspects.filter((rank) => !isInside(rank));
  if (absent.length > 0) return absent.map(({ rank }) => rank);
  const known = new Set(ranks.map(({ rank }) => rank));
  const wanted = suspects.flatMap(({ waitingFor }) => (waitingFor === null ? [] : [waitingFor]));
  const unknown = [...new Set(wanted.filter((rank) => !known.has(rank)))];
  if (unknown.length > 0) return unknown.sort((a, b) => a - b);
  if (suspects.length === 1) return [suspects[0]!.rank];
  const votes = (rank: number) => wanted.filter((other) => other === rank).length;
  const most = Math.max(0, ...wanted.map(votes));
  return most > 1 ? [...new Set(wanted.filter((rank) => votes(rank) === most))].sort((a, b) => a - b) : [];
}

/** Describes the rank's own fault; null if none is known. */
function troubleOf({ failure, processState, pid, stack }: RankFlight): string | null {
  if (failure === 'WORKER_DIED') return `its process ${pid} has died`;
  const stopped = STOPPED[processState];
  if (stopped !== undefined) return `its process ${pid} ${stopped}`;
  if (failure === 'WORKER_HUNG')
    return `its process ${pid} is stuck${stack?.[0] === undefined ? '' : ` in ${stack[0]}`}`;
  return failure !== null && !CONSEQUENCES.includes(failure) ? `failed with ${failure}` : null;
}

/**
 * Follows the waits from a rank to the one that delays the others. A rank that cannot run does not wait for
 * any: its control block shows an earlier state.
 */
function waitChainOf(from: LoneRank, ranks: readonly LoneRank[], oddRanks: readonly number[]): number[] {
  const chain: number[] = [];
  for (let at: LoneRank | undefined = from; at !== undefined && at.trouble === null; ) {
    const next: number | null = at.waitingFor;
    if (next === null || next === from.rank || chain.includes(next)) break;
    chain.push(next);
    if (oddRanks.includes(next)) break;
    at = ranks.find(({ rank }) => rank === next);
  }
  return chain;
}

interface World {
  readonly ranks: readonly LoneRank[];
  readonly nodeOf: (rank: number) => number;
}

function summarize(
  { ranks, nodeOf }: World,
  operations: readonly MergedOperation[],
  oddRanks: readonly number[],
): string {
  const names = oddRanks.map((rank) => `rank ${rank} on node ${nodeOf(rank)}`).join(', ');
  const accounts = oddRanks.map((rank) =>
    accountOf(
      rank,
      ranks.find((known) => known.rank === rank),
    ),
  );
  const split = operations.find(({ differing }) => differing.length > 0);
  if (split !== undefined) {
    const most = split.entered.find((rank) => !split.differing.includes(rank))!;
    const of = (rank: number) =>
      ranks
        .find((known) => known.rank === rank)!
        .operations.find(({ sequence }) => sequence === split.sequence)!;
    const found = split.differing.map(
      (rank) => `rank ${rank} on node ${nodeOf(rank)} is in ${nameWithCounts(of(rank))}`,
    );
    return `operation ${split.sequence}: ${found.join(', ')}; rank ${most} is in ${nameWithCounts(of(most))}`;
  }
  const waiting = ranks
    .filter((rank) => isInside(rank) && !oddRanks.includes(rank.rank))
    .map((rank) => ({ operation: rank.last!, forMs: rank.writtenMs - rank.last!.startMs }))
    .sort((a, b) => b.forMs - a.forMs)[0];
  if (waiting === undefined)
    return oddRanks.length === 0 ? 'no rank was waiting for another' : accounts.join('; ');
  const forS = (Math.max(0, waiting.forMs) / 1000).toFixed(1);
  const whom = oddRanks.length === 0 ? 'all ranks have come' : `waiting for ${names}`;
  return [`${fullName(waiting.operation)}: ${whom} for ${forS} s`, ...accounts].join('; ');
}

function nameWithCounts(operation: RecordedOperation): string {
  const { countsHash } = operation;
  return `${fullName(operation)}${countsHash ? ` (counts ${countsHash.toString(16)})` : ''}`;
}

/** Formats an operation as "all-to-all 812, step 203, layer 3, dispatch". */
function fullName({ kind, sequence, step, layer, purpose }: RecordedOperation): string {
  const parts = [`${kind} ${sequence}`, `step ${step}`, layer !== undefined && `layer ${layer}`, purpose];
  return parts.filter(Boolean).join(', ');
}

function accountOf(rank: number, flight: LoneRank | undefined): string {
  if (flight === undefined) return `of rank ${rank} there is no file`;
  const { last, phase, step, trouble } = flight;
  const process = trouble === null ? '' : `, and ${trouble}`;
  if (last === null) return `rank ${rank} has begun no operation${process}`;
  if (last.endMs === null) return `rank ${rank} is in ${last.kind} ${last.sequence}${process}`;
  return `rank ${rank} left ${last.kind} ${last.sequence} and is in step ${step}, ${phase}${process}`;
}

/** Counts the operations that `rank` was the last to enter, and returns its median delay in them. */
export function lagOf(
  { operations }: Pick<FlightReport, 'operations'>,
  rank: number,
): { readonly timesLast: number; readonly medianLateMs: number } {
  const late = operations
    .flatMap(({ last }) => (last?.rank === rank ? [last.lateMs] : []))
    .sort((a, b) => a - b);
  return { timesLast: late.length, medianLateMs: late[late.length >> 1] ?? 0 };
}
