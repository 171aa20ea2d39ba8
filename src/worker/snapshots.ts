import type { RankTensors } from '../checkpoint/rank-tensors.js';
import type { Transport } from '../collectives/transport.js';
import { timeoutsOf } from '../config/timeouts.js';
import { asTrainerError, TrainerError } from '../errors.js';
import type { Logger } from '../logger.js';
import type { SnapshotVote } from './gradient-sync.js';
import { LocalSnapshots } from './local-snapshots.js';
import type { SnapshotKept, WorkerAssignment, WorkerEvent } from './messages.js';
import type { ShardWriter } from './shard-writer.js';

/** Share of the time that snapshots may take with `train.snapshotEvery: auto`: normally, and when much is at risk. */
const SHARE = 0.01;
const MOST_SHARE = 0.1;
/**
 * Time since the last snapshot after which much is at risk. On a busy machine, which writes slowly, `SHARE`
 * alone would allow ever fewer snapshots.
 */
const AT_RISK_MS = 30_000;
/** Steps before the first snapshot, whose cost is measured. A run's first steps are slower than the later ones. */
const FIRST_AFTER = 5;

export interface SnapshotsOptions {
  readonly assignment: WorkerAssignment;
  readonly writer: ShardWriter;
  readonly emit: (event: WorkerEvent) => void;
  readonly logger: Pick<Logger, 'info' | 'warn'>;
  /** Number of updates done when the generation begins. */
  readonly step: number;
}

/**
 * One rank's part in snapshots of the run's state in the memory of its nodes. All ranks take one after the
 * same step: when one is due, and each node holds the previous one with a copy of its neighbour's, so that a
 * complete snapshot always exists while the next one is written.
 */
export class Snapshots {
  /** Step of the last snapshot; before the first one, the step at which the generation began. */
  #last: number;
  /** Steps between snapshots; Infinity for no snapshots. */
  #every: number;
  /** Step of a snapshot that the node does not hold yet; stays set once a snapshot has failed. */
  #open: number | null = null;
  #beganMs = performance.now();
  /** Cost of the last snapshot to this rank in ms; time of that step in ms; cost of the snapshot in steps. */
  #writtenMs = 0;
  #stepMs = 1;
  #cost = 0;
  #failure: TrainerError | null = null;
  /** Those of which no other node has a copy, and which are taken more often. */
  readonly local: LocalSnapshots;

  constructor(private readonly options: SnapshotsOptions) {
    this.#last = options.step;
    const onFailure = (error: TrainerError) => {
      // Where a local one has no room, one with a copy has none either.
      this.#open = this.#last;
      this.#fail(error);
    };
    this.local = new LocalSnapshots({ ...options, onFailure });
    const { train, cluster, moe } = options.assignment.config;
    // Experts that are kept on a disk are perhaps too many for memory.
    const first = moe.expertStorage.kind === 'file' ? 0 : FIRST_AFTER;
    const every = train.snapshotEvery === 'auto' ? first : train.snapshotEvery;
    // A run that never restarts has no use for snapshots.
    this.#every = every > 0 && cluster.maxRestarts > 0 ? every : Number.POSITIVE_INFINITY;
  }

  /**
   * Returns this rank's vote in a step.
   *
   * @throws TrainerError the error that stopped this rank from writing the last snapshot
   */
  vote(step: number): SnapshotVote {
    if (this.#failure !== null) throw this.#failure;
    const numSteps = step - this.#last;
    const isAuto = this.options.assignment.config.train.snapshotEvery === 'auto';
    const isLate = isAuto && performance.now() - this.#beganMs >= AT_RISK_MS;
    const isDue = numSteps >= (isLate ? (SHARE / MOST_SHARE) * this.#every : this.#every);
    const isReady = this.#open === null && !this.options.writer.isBusy;
    return { refusals: isDue && isReady ? 0 : 1, cost: this.#cost, localCost: this.local.cost };
  }

  /**
   * Takes note of the votes of all ranks.
   *
   * @returns whether all ranks take a snapshot after this step
   */
  agree({ refusals, cost }: Pick<SnapshotVote, 'refusals' | 'cost'>): boolean {
    const { topology, config } = this.options.assignment;
    if (config.train.snapshotEvery === 'auto' && cost > 0 && Number.isFinite(this.#every))
      this.#every = Math.ceil(cost / topology.worldSize / SHARE);
    return refusals === 0;
  }

  /** @param stepMs duration of a step */
  take(step: number, tensors: RankTensors, metrics: Readonly<Record<string, number>>, stepMs: number): void {
    const { assignment, writer, emit } = this.options;
    const { topology, generation, snapshotDir } = assignment;
    const { rank, worldSize } = topology;
    this.#beganMs = performance.now();
    this.#last = step;
    this.#open = step;
    this.#stepMs = stepMs;
    const snapshotIn = `${snapshotDir}/generation-${generation}-step-${step}`;
    writer.write({ snapshotIn, rank, worldSize, tensors: writer.lend(tensors) }).then(
      (files) => {
        this.#writtenMs = performance.now() - this.#beganMs;
        emit({ type: 'snapshot', report: { rank, step, files, metrics } });
      },
      (error: unknown) => this.#fail(asTrainerError(error)),
    );
  }

  /**
   * Blocks until the last snapshot has been read. To be called before the state changes.
   *
   * @throws TrainerError `COLLECTIVE_TIMEOUT` after `saveMs` of the timeouts, or as `keepWaiting`
   */
  settle(transport: Pick<Transport, 'keepWaiting'>): void {
    const { writer, assignment } = this.options;
    const { saveMs } = timeoutsOf(assignment.config.cluster);
    if (writer.reclaim(() => transport.keepWaiting(), saveMs)) return;
    throw new TrainerError(
      'COLLECTIVE_TIMEOUT',
      `the snapshot of step ${this.#last} was not written within ${saveMs / 1000} s`,
      { rank: assignment.topology.rank, step: this.#last, operation: 'snapshot' },
    );
  }

  onKept({ step, ms }: SnapshotKept): void {
    if (this.#open !== step) return;
    const { workersPerNode } = this.options.assignment.topology;
    this.#cost = (this.#writtenMs + ms / workersPerNode) / this.#stepMs;
    this.#open = null;
  }

  /**
   * Warns that there is no room for snapshots, without which the run can still resume from a checkpoint;
   * keeps any other error for `vote`.
   */
  #fail(error: TrainerError): void {
    if (error.code !== 'DISK_FULL' && error.code !== 'NO_RESOURCE') {
      this.#failure = error;
      return;
    }
    const { assignment, logger } = this.options;
    // The first rank of a node has most of what all share, so only its failure is a warning.
    const level = assignment.topology.localRank === 0 ? 'warn' : 'info';
    logger[level](`no snapshots of the run's state in memory: ${error.message}`);
  }
}
