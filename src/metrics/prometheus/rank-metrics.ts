import type { Registry } from 'prom-client';
import { nodeOf } from '../../collectives/topology.js';
import type { Heartbeat } from '../../rpc/generated/messages.js';
import type { RunListener, RunSnapshot } from '../../run/run-listener.js';
import { counter, gauge } from './instruments.js';

const RANK = ['node', 'rank'];

/** Ranks and nodes: where they are, their memory, their logs. */
export class RankMetrics implements RunListener {
  readonly #step;
  readonly #resident;
  readonly #silence;
  readonly #stalled;
  readonly #p50;
  readonly #p99;
  readonly #lost;
  readonly #logQueue;
  readonly #logLines;
  readonly #logDropped;
  #run: Pick<RunSnapshot, 'ranks' | 'speeds'> = { ranks: [], speeds: [] };
  #heardAtMs = 0;

  constructor(
    registry: Registry,
    readonly workersPerNode: number,
    private readonly nowMs: () => number = () => performance.now(),
  ) {
    this.#step = gauge(registry, 'locmoe_rank_step', 'Step that a rank was in when last heard of', RANK);
    this.#resident = gauge(
      registry,
      'locmoe_rank_resident_memory_bytes',
      "Resident memory of a rank's process, in bytes; the coordinator's is process_resident_memory_bytes",
      RANK,
    );
    this.#silence = gauge(
      registry,
      'locmoe_rank_silence_seconds',
      'Time since a rank itself last gave a sign of life, in seconds',
      RANK,
    );
    this.#stalled = gauge(
      registry,
      'locmoe_rank_stalled_seconds',
      'For how long a rank has waited for others without a byte from them, in seconds; 0 if it does not wait',
      RANK,
    );
    const ownTime = (quantile: string, what: string) =>
      gauge(
        registry,
        `locmoe_rank_step_${quantile}_seconds`,
        `${what} of a rank's own part of a step over the last 200, without waiting for others or for a processor, in seconds`,
        RANK,
      );
    this.#p50 = ownTime('p50', 'Median');
    this.#p99 = ownTime('p99', '99th percentile');
    this.#lost = gauge(
      registry,
      'locmoe_rank_lost_ratio',
      "Share of the last 200 steps' time that would be saved if the rank were as fast as the next slowest",
      RANK,
    );
    this.#logQueue = gauge(
      registry,
      'locmoe_log_queue_lines',
      'Log lines that wait on a node to be sent to the coordinator',
      ['node'],
    );
    this.#logLines = counter(registry, 'locmoe_log_lines_total', 'Log lines of a node that were kept', [
      'node',
    ]);
    this.#logDropped = counter(
      registry,
      'locmoe_log_lines_dropped_total',
      'Log lines that a node dropped because its queue was full',
      ['node'],
    );
  }

  heartbeat(node: number, { logQueueLines }: Heartbeat, run: RunSnapshot): void {
    this.#run = run;
    this.#heardAtMs = this.nowMs();
    this.#logQueue.set(logQueueLines, { node });
  }

  logLines(node: number, { kept, dropped }: { readonly kept: number; readonly dropped: number }): void {
    this.#logLines.add(kept, { node });
    this.#logDropped.add(dropped, { node });
  }

  /** Sets the series of ranks as of now: silence grows between heartbeats. */
  refresh(): void {
    const sinceMs = this.nowMs() - this.#heardAtMs;
    for (const { node, rank, step, residentBytes, lastHeardMs, stalledMs } of this.#run.ranks) {
      this.#step.set(step, { node, rank });
      this.#resident.set(residentBytes, { node, rank });
      this.#silence.set((lastHeardMs + sinceMs) / 1000, { node, rank });
      this.#stalled.set(stalledMs / 1000, { node, rank });
    }
    for (const { rank, p50Ms, p99Ms, lostShare } of this.#run.speeds) {
      const place = { node: nodeOf(this, rank), rank };
      this.#p50.set(p50Ms / 1000, place);
      this.#p99.set(p99Ms / 1000, place);
      this.#lost.set(lostShare, place);
    }
  }
}
