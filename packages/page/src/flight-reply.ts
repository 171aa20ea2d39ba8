import { existsSync, readdirSync } from 'node:fs';
import { lagOf, type RunFolder, readFlight, reportFlight } from '@locmoe/run-format';
import { asTrainerError } from '@locmoe/run-format/errors';
import type { FlightReply } from './api-types.js';

/** Number of operations in a reply; the newest are kept. */
const NUM_OPERATIONS = 12;

const NOTHING: FlightReply = {
  problem: null,
  generation: null,
  reason: null,
  summary: null,
  missingNodes: [],
  oddRanks: [],
  ranks: [],
  operations: [],
};

/** Returns the last operations of each rank from the files that node agents wrote when the run failed. */
export function flightOf({ directory, flight }: RunFolder): FlightReply {
  if (!existsSync(flight) || readdirSync(flight).length === 0) return NOTHING;
  try {
    const report = reportFlight(readFlight({ place: directory, runsDir: '', generation: undefined }));
    return {
      problem: null,
      generation: report.generation,
      reason: report.reason,
      summary: report.summary,
      missingNodes: report.missingNodes,
      oddRanks: report.oddRanks,
      ranks: report.ranks.map(({ rank, node, pid, processState, step, phase, last, waitChain, stack }) => ({
        rank,
        node,
        pid,
        processState,
        step,
        phase,
        waitChain,
        stack: stack ?? [],
        ...lagOf(report, rank),
        isInside: last !== null && last.endMs === null,
        operation: last && { kind: last.kind, sequence: last.sequence, purpose: last.purpose },
      })),
      operations: report.operations.slice(-NUM_OPERATIONS).map((each) => ({
        sequence: each.sequence,
        kind: each.operation.kind,
        purpose: each.operation.purpose,
        step: each.operation.step,
        layer: each.operation.layer ?? null,
        entered: each.entered.length,
        left: each.left.length,
        missing: each.missing,
        last: each.last,
        tookMs: each.tookMs,
      })),
    };
  } catch (error) {
    return { ...NOTHING, problem: asTrainerError(error).message };
  }
}
