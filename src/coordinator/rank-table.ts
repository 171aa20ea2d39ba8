import { nodeOf } from '../collectives/topology.js';
import type { WorkerProgress } from '../rpc/generated/messages.js';
import type { RankView } from '../run/run-listener.js';

/** Newest heartbeat of each rank, with the time of its arrival. */
export class RankTable {
  readonly #heard = new Map<number, { readonly worker: WorkerProgress; readonly atMs: number }>();

  constructor(
    private readonly workersPerNode: number,
    private readonly nowMs: () => number = () => performance.now(),
  ) {}

  update(workers: readonly WorkerProgress[]): void {
    for (const worker of workers) this.#heard.set(worker.rank, { worker, atMs: this.nowMs() });
  }

  get(rank: number): WorkerProgress | undefined {
    return this.#heard.get(rank)?.worker;
  }

  /** Progress of the ranks heard of so far, ordered by rank. */
  get workers(): WorkerProgress[] {
    return [...this.#heard.values()].map(({ worker }) => worker).sort((a, b) => a.rank - b.rank);
  }

  /** Views of the ranks heard of so far, ordered by rank. */
  get views(): RankView[] {
    const now = this.nowMs();
    return this.workers.map((worker) => ({
      ...worker,
      node: nodeOf({ workersPerNode: this.workersPerNode }, worker.rank),
      lastHeardMs: now - this.#heard.get(worker.rank)!.atMs + worker.idleMs,
    }));
  }
}
