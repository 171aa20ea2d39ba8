import { asStorageError } from '../checkpoint/durable.js';
import { MappedShards } from '../checkpoint/mapped-shards.js';
import type { RankTensors } from '../checkpoint/rank-tensors.js';
import { localSnapshotFolders } from '../collectives/segment-files.js';
import { asTrainerError, type TrainerError } from '../errors.js';
import type { StepReport } from '../rpc/generated/messages.js';
import type { WorkerAssignment } from './messages.js';

/** Share of the time from which on local snapshots are taken more seldom: they take up to twice as much. */
const SHARE = 0.01;
/** Weight of the last cost in the mean. */
const GAIN = 0.1;

export interface LocalSnapshotsOptions {
  readonly assignment: WorkerAssignment;
  /** Number of updates done when the generation begins. */
  readonly step: number;
  /** Told why no further ones follow. */
  readonly onFailure: (error: TrainerError) => void;
}

/**
 * One rank's part in local snapshots, which outlive the worker but not the node, as no other node has a copy. They
 * are taken after every step, or as often as costs 1 to 2 % of the time, in turn into two sets of files.
 *
 * Two suffice for all ranks to hold a common one at any time: a rank begins the next one after an all-reduce to
 * which every rank contributes only once it has finished the last one. So whoever overwrites the one before the
 * last knows that the last is whole everywhere.
 */
export class LocalSnapshots {
  /** Steps between local snapshots; Infinity for none. */
  #every: number;
  #last: number;
  /** Mean cost to this rank, as a share of a step; 0 until it is known. */
  #cost = 0;
  readonly #shards: (MappedShards | null)[] = [null, null];
  #next: number;

  constructor(private readonly options: LocalSnapshotsOptions) {
    const { assignment, step } = options;
    const { snapshotDir, resumeFrom, config } = assignment;
    const { train, cluster, moe } = config;
    const every = train.snapshotEvery === 'auto' ? 1 : train.snapshotEvery;
    // Experts that are kept on a disk are perhaps too many for memory.
    const isOn = snapshotDir !== null && cluster.maxRestarts > 0 && moe.expertStorage.kind !== 'file';
    this.#every = isOn && every > 0 ? every : Number.POSITIVE_INFINITY;
    this.#last = step;
    // The folder that the generation starts from stays until another is filled.
    this.#next = snapshotDir !== null && localSnapshotFolders(snapshotDir)[0] === resumeFrom ? 1 : 0;
  }

  /** Cost to this rank in steps; Infinity if it can take none. */
  get cost(): number {
    return this.#cost;
  }

  /**
   * Takes note of the sum of all ranks' costs.
   *
   * @returns whether all ranks take a local snapshot after this step
   */
  agree(step: number, cost: number): boolean {
    const { topology, config } = this.options.assignment;
    if (cost === Number.POSITIVE_INFINITY) this.#every = cost;
    else if (config.train.snapshotEvery === 'auto' && Number.isFinite(this.#every))
      this.#every = Math.max(1, Math.floor(cost / topology.worldSize / SHARE));
    return step - this.#last >= this.#every;
  }

  /** @param tensorsToKeep returns this rank's part, with the same tensors each time */
  take(
    { step, stepMs, cpuMs }: Pick<StepReport, 'step' | 'stepMs' | 'cpuMs'>,
    tensorsToKeep: () => RankTensors,
    metrics: Readonly<Record<string, number>>,
  ): void {
    const { topology, generation, snapshotDir } = this.options.assignment;
    const slot = this.#next;
    this.#next = 1 - slot;
    this.#last = step;
    if (this.#cost === Number.POSITIVE_INFINITY) return;
    const before = process.cpuUsage();
    const isNew = this.#shards[slot] === null;
    try {
      const tensors = tensorsToKeep();
      this.#shards[slot] ??= new MappedShards(localSnapshotFolders(snapshotDir!)[slot]!, topology, tensors);
      this.#shards[slot].fill(tensors, { generation, step, metrics });
    } catch (error) {
      this.#cost = Number.POSITIVE_INFINITY;
      this.options.onFailure(asTrainerError(asStorageError(error, 'cannot write to shared memory')));
      return;
    }
    // The first time the kernel has to find the memory.
    if (isNew) return;
    const { user, system } = process.cpuUsage(before);
    // Ranks that share processors delay each other by the time that they compute, not by that for which they wait.
    const cost = (user + system) / 1000 / Math.min(stepMs, cpuMs);
    this.#cost = this.#cost === 0 ? cost : this.#cost + GAIN * (cost - this.#cost);
  }

  close(): void {
    for (const each of this.#shards) each?.close();
    this.#shards.fill(null);
  }
}
