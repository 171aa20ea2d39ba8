import type { Registry } from 'prom-client';
import { nodeOf } from '../../collectives/topology.js';
import type { RunSnapshot } from '../../run/run-listener.js';
import { instrumentsOf, type RefreshedListener } from './instruments.js';

const RANK = ['node', 'rank'];

/** Creates the metrics of ranks and nodes: progress, memory, logs. */
export function rankMetrics(
  registry: Registry,
  workersPerNode: number,
  nowMs = () => performance.now(),
): RefreshedListener {
  const { counter, gauge } = instrumentsOf(registry);
  const step = gauge('locmoe_rank_step', 'Step that a rank was in when last heard of', RANK);
  const resident = gauge(
    'locmoe_rank_resident_memory_bytes',
    "Resident memory of a rank's process, in bytes; the coordinator's is process_resident_memory_bytes",
    RANK,
  );
  const silence = gauge(
    'locmoe_rank_silence_seconds',
    'Time since a rank itself last gave a sign of life, in seconds',
    RANK,
  );
  const stalled = gauge(
    'locmoe_rank_stalled_seconds',
    'For how long a rank has waited for others without a byte from them, in seconds; 0 if it does not wait',
    RANK,
  );
  const ownTime = (quantile: string, what: string) =>
    gauge(
      `locmoe_rank_step_${quantile}_seconds`,
      `${what} of a rank's own part of a step over the last 200, without waiting for others or for a processor, in seconds`,
      RANK,
    );
  const p50 = ownTime('p50', 'Median');
  const p99 = ownTime('p99', '99th percentile');
  const lost = gauge(
    'locmoe_rank_lost_ratio',
    "Share of the last 200 steps' time that would be saved if the rank were as fast as the next slowest",
    RANK,
  );
  const logQueue = gauge(
    'locmoe_log_queue_lines',
    'Log lines that wait on a node to be sent to the coordinator',
    ['node'],
  );
  const logLines = counter('locmoe_log_lines_total', 'Log lines of a node that were kept', ['node']);
  const logDropped = counter(
    'locmoe_log_lines_dropped_total',
    'Log lines that a node dropped because its queue was full',
    ['node'],
  );
  // The last snapshot; its getter `speeds` computes them at each read.
  let run: Pick<RunSnapshot, 'ranks' | 'speeds'> = { ranks: [], speeds: [] };
  let heardAtMs = 0;
  return {
    heartbeat(node, { logQueueLines }, snapshot) {
      run = snapshot;
      heardAtMs = nowMs();
      logQueue.set(logQueueLines, { node });
    },
    logLines(node, { kept, dropped }) {
      logLines.add(kept, { node });
      logDropped.add(dropped, { node });
    },
    refresh() {
      // The time since a rank was last heard of grows between heartbeats.
      const sinceMs = nowMs() - heardAtMs;
      for (const { node, rank, ...each } of run.ranks) {
        step.set(each.step, { node, rank });
        resident.set(each.residentBytes, { node, rank });
        silence.set((each.lastHeardMs + sinceMs) / 1000, { node, rank });
        stalled.set(each.stalledMs / 1000, { node, rank });
      }
      for (const { rank, p50Ms, p99Ms, lostShare } of run.speeds) {
        const place = { node: nodeOf({ workersPerNode }, rank), rank };
        p50.set(p50Ms / 1000, place);
        p99.set(p99Ms / 1000, place);
        lost.set(lostShare, place);
      }
    },
  };
}
