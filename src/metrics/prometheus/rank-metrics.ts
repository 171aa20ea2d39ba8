import type { Registry } from 'prom-client';
import type { Heartbeat } from '../../rpc/messages.js';
import type { RankView } from '../../run/rank-view.js';
import type { RunListener, RunSnapshot } from '../../run/run-listener.js';
import { counter, gauge } from './instruments.js';

const RANK = ['node', 'rank'];

/** Ranks and nodes: where they are, their memory, their logs. */
export class RankMetrics implements RunListener {
  readonly #step;
  readonly #resident;
  readonly #silence;
  readonly #logQueue;
  readonly #logLines;
  readonly #logDropped;
  #ranks: readonly RankView[] = [];
  #heardAtMs = 0;

  constructor(
    registry: Registry,
    readonly nowMs: () => number = () => performance.now(),
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

  heartbeat(node: number, { logQueueLines }: Heartbeat, { ranks }: RunSnapshot): void {
    this.#ranks = ranks;
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
    for (const { node, rank, step, residentBytes, lastHeardMs } of this.#ranks) {
      this.#step.set(step, { node, rank });
      this.#resident.set(residentBytes, { node, rank });
      this.#silence.set((lastHeardMs + sinceMs) / 1000, { node, rank });
    }
  }
}
