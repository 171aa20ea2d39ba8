import { setTimeout as sleep } from 'node:timers/promises';
import { temporaryFolder } from '../checkpoint/folders.js';
import { bytesOfTensors, type RankTensors } from '../checkpoint/rank-tensors.js';
import type { Transport } from '../collectives/transport.js';
import { timeoutsOf } from '../config/timeouts.js';
import { asTrainerError, TrainerError } from '../errors.js';
import type { SaveIntent } from '../rpc/generated/messages.js';
import type { SaveCommand, WorkerAssignment, WorkerEvent } from './messages.js';
import type { ShardWriter } from './shard-writer.js';

/** Interval between two checks whether a save has ended. */
const POLL_MS = 5;

interface OpenSave {
  readonly step: number;
  /** Tensors to write: a copy, or the state itself. */
  readonly tensors: RankTensors;
  /** True once the thread has been told to write the tensors. */
  isWriting: boolean;
  /** Null until the coordinator has decided. */
  committed: boolean | null;
}

export interface CheckpointSaverOptions {
  readonly assignment: WorkerAssignment;
  readonly transport: Transport;
  readonly writer: ShardWriter;
  readonly emit: (event: WorkerEvent) => void;
}

/**
 * One rank's part in saving checkpoints. `begin` keeps the rank's tensors (a copy, but after the last step the tensors
 * themselves) and announces them. Once all ranks have done so, the coordinator sends `write-shards`, a thread writes
 * the tensors during the next steps, and their digests are reported. Once all ranks have reported, the coordinator
 * commits or gives up, and sends `save-ended`. There is one save at a time.
 */
export class CheckpointSaver {
  #save: OpenSave | null = null;
  #failure: TrainerError | null = null;

  constructor(private readonly options: CheckpointSaverOptions) {}

  /** Begins to save; `settle` must have returned since the previous save. */
  begin(about: Omit<SaveIntent, 'rank' | 'generation' | 'bytes'>, tensors: RankTensors): void {
    const { step } = about;
    const { writer } = this.options;
    // The state no longer changes after the last step.
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
      // Tensors that were written are released already, and the thread may be writing a snapshot.
      if (!save.isWriting) this.options.writer.release();
      return;
    }
    save.isWriting = true;
    this.#write(save).catch((error: unknown) => {
      this.#failure = asTrainerError(error);
    });
  }

  /** @throws TrainerError the error that has stopped this rank from writing since the last call; none for a full disk */
  check(): void {
    if (this.#failure !== null) throw this.#failure;
  }

  /**
   * Waits until the last save has ended, and any snapshot that is being written.
   *
   * @returns whether the save was committed; true if there was none
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
      // The run can go on without this checkpoint, so the coordinator decides.
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
      `the previous checkpoint or snapshot was not saved within ${limitMs / 1000} s: ${whose} still has to write`,
      { rank, step, operation: 'checkpoint' },
    );
  }
}
