import { setTimeout as sleep } from 'node:timers/promises';
import { temporaryFolder } from '../checkpoint/folders.js';
import { bytesOfTensors, type RankTensors } from '../checkpoint/rank-tensors.js';
import type { Transport } from '../collectives/transport.js';
import { timeoutsOf } from '../config/timeouts.js';
import { asTrainerError, TrainerError } from '../errors.js';
import type { SaveIntent } from '../rpc/generated/messages.js';
import type { SaveCommand, WorkerAssignment, WorkerEvent } from './messages.js';
import type { ShardWriter } from './shard-writer.js';

/** Between two looks whether a save has ended. */
const POLL_MS = 5;

interface OpenSave {
  readonly step: number;
  /** Tensors to write: a copy, or the state itself. */
  readonly tensors: RankTensors;
  /** The thread writes them, or has. */
  isWriting: boolean;
  /** Null until the coordinator has said so. */
  committed: boolean | null;
}

export interface CheckpointSaverOptions {
  readonly assignment: WorkerAssignment;
  readonly transport: Transport;
  readonly writer: ShardWriter;
  readonly emit: (event: WorkerEvent) => void;
}

/**
 * One rank's part in saving checkpoints. `begin` keeps its tensors (a copy; after the last step they themselves) and
 * announces them; once all ranks have, the coordinator says `write-shards`, a thread writes them behind the next steps,
 * and their digests are reported; once all ranks have reported, the coordinator commits or gives up, and says
 * `save-ended`. One save at a time.
 */
export class CheckpointSaver {
  #save: OpenSave | null = null;
  #failure: TrainerError | null = null;

  constructor(private readonly options: CheckpointSaverOptions) {}

  /** Begins to save; `settle` must have returned since the save before. */
  begin(about: Omit<SaveIntent, 'rank' | 'generation' | 'bytes'>, tensors: RankTensors): void {
    const { step } = about;
    const { writer } = this.options;
    // Nothing changes any more after the last step.
    const kept = about.isLast ? writer.lend(tensors) : writer.copy(tensors);
    this.#save = { step, tensors: kept, isWriting: false, committed: null };
    const report = { ...about, ...this.#place, bytes: bytesOfTensors(tensors) };
    this.options.emit({ type: 'saving', report });
  }

  onCommand(command: SaveCommand): void {
    const save = this.#save;
    if (save?.step !== command.step) return;
    if (command.type === 'save-ended') {
      save.committed = command.committed;
      // Written tensors are released already, and the thread may be at a snapshot.
      if (!save.isWriting) this.options.writer.release();
      return;
    }
    save.isWriting = true;
    this.#write(save).catch((error: unknown) => {
      this.#failure = asTrainerError(error);
    });
  }

  /** @throws TrainerError what has stopped this rank from writing since the last call, but for a full disk */
  check(): void {
    if (this.#failure !== null) throw this.#failure;
  }

  /**
   * Waits until the last save that was begun has ended, and a snapshot that is written.
   *
   * @returns whether it is committed; true if there was none
   * @throws TrainerError as `check`; `ABORTED` if the run ends; `COLLECTIVE_TIMEOUT` after `saveMs` of the timeouts
   */
  async settle(): Promise<boolean> {
    const save = this.#save;
    const { transport, assignment, writer } = this.options;
    const { saveMs } = timeoutsOf(assignment.config.cluster);
    const deadline = performance.now() + saveMs;
    while (save?.committed === null || writer.isBusy) {
      this.check();
      transport.keepWaiting();
      if (performance.now() > deadline) throw this.#tooLate(saveMs);
      await sleep(POLL_MS);
    }
    return save?.committed ?? true;
  }

  get #place(): { readonly rank: number; readonly generation: number } {
    const { topology, generation } = this.options.assignment;
    return { rank: topology.rank, generation };
  }

  async #write({ step, tensors }: OpenSave): Promise<void> {
    const { assignment, emit, writer } = this.options;
    const { topology, checkpointDir: root } = assignment;
    const place = { root, step, ...this.#place };
    const report = { ...this.#place, step };
    try {
      const job = { ...place, folder: temporaryFolder(place), worldSize: topology.worldSize, tensors };
      emit({ type: 'shards', report: { ...report, files: await writer.write(job), noRoom: '' } });
    } catch (error) {
      const { code, message } = asTrainerError(error);
      // The run can go on without this checkpoint: that is the coordinator's to decide.
      if (code !== 'DISK_FULL') throw error;
      emit({ type: 'shards', report: { ...report, files: [], noRoom: message } });
    }
  }

  #tooLate(limitMs: number): TrainerError {
    const { rank } = this.#place;
    const { writer } = this.options;
    const step = this.#save?.step;
    const whose = !writer.isBusy ? 'another rank or the coordinator' : 'this rank';
    return new TrainerError(
      'COLLECTIVE_TIMEOUT',
      `the checkpoint or snapshot before was not saved within ${limitMs / 1000} s: ${whose} still has to write`,
      { rank, step, operation: 'checkpoint' },
    );
  }
}
