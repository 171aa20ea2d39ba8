import type { RankActivity, RankLane, RankSpan } from '../../api-types.js';
import type { ChartRow } from './chart-row.js';
import type { RunData } from './run-data.js';

const ROW = 20;
/** With more ranks, ranks are grouped by node. */
const MAX_RANK_ROWS = 16;
/** A rank stalled first if its last step is older than that of all others by at least this. */
const STALL_MARGIN_MS = 1_500;

/** A row of the lanes: a rank or, with `rank` null, the ranks of a node. */
export interface LaneRow extends ChartRow {
  readonly rank: number | null;
  readonly lanes: readonly RankLane[];
}

/** Ranks of the heartbeats or, without any, those that logged. */
export function lanesOf(run: RunData, ranksOfLog: readonly number[]): readonly RankLane[] {
  const recorded = run.ranks?.ranks ?? [];
  if (recorded.length > 0) return recorded;
  const unknown = { node: null, spans: [], lastProgress: null, lastStep: null };
  return ranksOfLog.map((rank) => ({ rank, ...unknown }));
}

/**
 * Returns a row for each rank or, with many ranks, a row for each node, followed by the ranks of open nodes.
 *
 * @param openNodes keys of node rows; null for none
 */
export function laneRows(
  run: RunData,
  lanes: readonly RankLane[],
  openNodes: readonly string[] | null,
): LaneRow[] {
  const first = stalledFirst(run, lanes);
  const ofRank = (lane: RankLane, detail?: string) => rankRow(run, lane, first, detail);
  const nodes = [...new Set(lanes.map(({ node }) => node))];
  if (lanes.length <= MAX_RANK_ROWS || nodes.includes(null))
    return lanes.map((lane) => ofRank(lane, lane.node === null ? undefined : `node ${lane.node}`));
  return nodes.flatMap((node) => {
    const own = lanes.filter((lane) => lane.node === node);
    const key = `node${node}`;
    const isOpen = openNodes?.includes(key) === true;
    const ranks = own.map((lane) => ofRank(lane));
    const blamed = ranks.find(({ isBlamed }) => isBlamed);
    const row: LaneRow = {
      key,
      rank: null,
      lanes: own,
      label: `node ${node}`,
      detail: `${own.length} ranks`,
      height: ROW,
      isOpen,
      isBlamed: blamed !== undefined,
      note: blamed === undefined ? stepsOf(own) : `${blamed.label}: ${blamed.note}`,
    };
    return isOpen ? [row, ...ranks] : [row];
  });
}

function rankRow(run: RunData, lane: RankLane, first: RankLane | null, detail?: string): LaneRow {
  const { rank, lastStep, spans } = lane;
  const isRoot = run.detail?.failure?.rank === rank;
  const isFirst = first?.rank === rank;
  // A run that is over is in no phase.
  const phase = run.detail?.isLive && !isFirst && spans.at(-1)?.phase;
  const parts = [
    lastStep !== null && `step ${lastStep}`,
    isRoot && 'root cause',
    isFirst && 'stalled first',
    !isRoot && phase,
  ];
  return {
    key: `rank${rank}`,
    rank,
    lanes: [lane],
    label: `rank ${rank}`,
    height: ROW,
    isBlamed: isRoot || isFirst,
    note: parts.filter(Boolean).join(' · '),
    ...(detail === undefined ? {} : { detail }),
  };
}

function stepsOf(lanes: readonly RankLane[]): string {
  const steps = lanes.flatMap(({ lastStep }) => lastStep ?? []);
  if (steps.length === 0) return '';
  const [least, most] = [Math.min(...steps), Math.max(...steps)];
  return least === most ? `step ${most}` : `steps ${least} to ${most}`;
}

/** Returns the rank of a failed run whose last step is clearly older than the others'. */
function stalledFirst(run: RunData | null, lanes: readonly RankLane[]): RankLane | null {
  if (run?.detail?.state !== 'failed' && run?.detail?.state !== 'dead') return null;
  const known = lanes.filter(({ lastProgress }) => lastProgress !== null);
  const [first, second] = known.toSorted((a, b) => (a.lastProgress ?? 0) - (b.lastProgress ?? 0));
  if (first?.lastProgress == null || second?.lastProgress == null) return null;
  return second.lastProgress - first.lastProgress > STALL_MARGIN_MS ? first : null;
}

export function spanAt({ spans }: RankLane, time: number): RankSpan | undefined {
  return spans.find(({ from, to }) => from <= time && time <= to);
}

/** Returns what the ranks did at a time, the rarest activity first, as it is the most telling. */
export function activitiesAt(
  lanes: readonly RankLane[],
  time: number,
): (readonly [RankActivity, readonly number[]])[] {
  const ranks = new Map<RankActivity, number[]>();
  for (const lane of lanes) {
    const activity = spanAt(lane, time)?.activity;
    if (activity !== undefined) ranks.set(activity, [...(ranks.get(activity) ?? []), lane.rank]);
  }
  return [...ranks].sort(([, a], [, b]) => a.length - b.length);
}
