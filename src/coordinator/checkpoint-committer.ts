import { existsSync } from 'node:fs';
import type { CheckpointReport } from '@locmoe/run-format';
import {
  beginCheckpoint,
  commitCheckpoint,
  discardCheckpoint,
  type SaveOptions,
} from '../checkpoint/checkpointer.js';
import { SAVE_OPERATION } from '../checkpoint/fence.js';
import { temporaryFolder } from '../checkpoint/folders.js';
import { asTrainerError, TrainerError } from '../errors.js';
import type { CoordinatorCommand, SaveIntent, ShardFile, ShardReport } from '../rpc/generated/messages.js';

export interface CommitterOptions {
  readonly run: Omit<SaveOptions, 'step' | 'metrics' | 'keepStep'>;
  readonly tell: (command: CoordinatorCommand) => void;
  readonly onCommit: (report: CheckpointReport) => void;
  /** Called if the disk has no room for a checkpoint and the run goes on without it. */
  readonly onNoRoom: (step: number) => void;
  /** Called if the disk has no room for a checkpoint, or older ones could not be removed entirely. */
  readonly warn: (line: string) => void;
  /** Called if the run cannot go on. */
  readonly onFailure: (error: TrainerError) => void;
  /** Newest step that an earlier coordinator of this generation committed; null or undefined for none. */
  readonly committedBefore?: number | null;
  /** Ends this process if another one leads the run; called before a commit. */
  readonly assertLeads?: (() => void) | undefined;
}

/** A save, from the first rank's intent until it is committed or discarded. */
interface OpenSave {
  /** Intent of rank 0, or of the first rank until rank 0's has arrived. Loss and time differ between ranks. */
  about: SaveIntent;
  readonly begunMs: number;
  readonly bytes: Map<number, number>;
  isBegun: boolean;
  readonly files: Map<number, readonly ShardFile[]>;
  /** Error of a rank that had no room on the disk. */
  noRoom: TrainerError | null;
}

/**
 * Coordinates checkpoint saves in two phases, and alone creates, commits and removes their folders. When every rank of
 * the generation has announced a step, it creates the temporary folder and has them write; when every rank has written,
 * it commits. Ranks begin a save only after the end of the previous one.
 */
export class CheckpointCommitter {
  #save: OpenSave | null = null;
  /** Last step whose save has ended. */
  #ended: { readonly step: number; readonly committed: boolean } | null = null;

  constructor(private readonly options: CommitterOptions) {
    const { committedBefore: step = null } = options;
    if (step !== null) this.#ended = { step, committed: true };
  }

  /**
   * @param mayRepeat true if this or an earlier coordinator may have received the intent already
   * @throws TrainerError `BAD_MESSAGE` if the intent does not belong to the open save
   */
  announce(intent: SaveIntent, mayRepeat = false): void {
    const { step, rank, bytes } = intent;
    if (mayRepeat && this.#tellIfEnded(step)) return;
    this.#save ??= {
      about: intent,
      begunMs: performance.now(),
      bytes: new Map(),
      isBegun: false,
      files: new Map(),
      noRoom: null,
    };
    const save = this.#save;
    if (save.about.step !== step || save.bytes.has(rank)) throw this.#unexpected('saving', intent);
    if (intent.sharedCrc32 !== save.about.sharedCrc32) {
      this.#fail(save, divergence(save.about, intent));
      return;
    }
    save.bytes.set(rank, bytes);
    if (rank === 0) save.about = intent;
    if (save.bytes.size < this.#numRanks) return;
    save.isBegun = true;
    const total = [...save.bytes.values()].reduce((sum, each) => sum + each);
    // The previous coordinator had created the folder, and ranks may have written to it.
    const isThere = mayRepeat && existsSync(temporaryFolder(this.#placeOf(save)));
    if (!isThere && !this.#attempt(save, () => beginCheckpoint(this.#placeOf(save), total))) return;
    this.options.tell({ command: 'writeShards', writeShards: { step } });
    this.#endIfWritten(save);
  }

  /**
   * @param mayRepeat true if this or an earlier coordinator may have received the report already
   * @throws TrainerError `BAD_MESSAGE` if no rank is to write, or not this step, or this rank has written already
   */
  receive(report: ShardReport, mayRepeat = false): void {
    const { step, rank, files, noRoom } = report;
    if (mayRepeat && this.#tellIfEnded(step)) return;
    const save = this.#save;
    const isExpected = save?.about.step === step && (save.isBegun || mayRepeat);
    if (!isExpected || save.files.has(rank)) throw this.#unexpected('shards', report);
    save.files.set(rank, files);
    if (noRoom !== '')
      save.noRoom ??= new TrainerError('DISK_FULL', noRoom, { rank, step, operation: SAVE_OPERATION });
    this.#endIfWritten(save);
  }

  #tellIfEnded(step: number): boolean {
    const ended = this.#ended;
    if (ended === null || step > ended.step) return false;
    this.options.tell({
      command: 'saveEnded',
      saveEnded: step === ended.step ? ended : { step, committed: true },
    });
    return true;
  }

  #endIfWritten(save: OpenSave): void {
    if (!save.isBegun || save.files.size < this.#numRanks) return;
    const { noRoom: error } = save;
    this.#attempt(save, () => {
      if (error !== null) throw error;
      this.#commit(save);
    });
  }

  /** Discards the open save, because its generation is over. */
  abandon(): void {
    if (this.#save !== null) this.#discard(this.#save);
  }

  get #numRanks(): number {
    const { nodes, workersPerNode } = this.options.run.world;
    return nodes * workersPerNode;
  }

  #placeOf({ about }: OpenSave): Pick<SaveOptions, 'root' | 'generation' | 'step'> {
    return { ...this.options.run, step: about.step };
  }

  #commit(save: OpenSave): void {
    this.options.assertLeads?.();
    const { step, keepStep, metrics } = save.about;
    const options = { ...this.options.run, step, metrics, keepStep: keepStep < 0 ? null : keepStep };
    const files = [...save.files.values()].flat();
    const directory = commitCheckpoint(options, files, this.options.warn);
    this.#save = null;
    this.#ended = { step, committed: true };
    this.options.onCommit({
      step,
      directory,
      bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
      seconds: (performance.now() - save.begunMs) / 1000,
    });
    this.options.tell({ command: 'saveEnded', saveEnded: { step, committed: true } });
  }

  /** @returns whether `work` succeeded; if not, the save has ended */
  #attempt(save: OpenSave, work: () => void): boolean {
    try {
      work();
      return true;
    } catch (thrown) {
      const error = asTrainerError(thrown);
      const { step, isLast } = save.about;
      if (error.code !== 'DISK_FULL' || isLast) this.#fail(save, error);
      else {
        this.#discard(save);
        this.#ended = { step, committed: false };
        const { checkpointEvery } = this.options.run.config.train;
        this.options.onNoRoom(step);
        this.options.warn(
          `no checkpoint of step ${step}: ${error.line}; the run goes on, the next try is in ${checkpointEvery} steps`,
        );
        this.options.tell({ command: 'saveEnded', saveEnded: { step, committed: false } });
      }
      return false;
    }
  }

  #fail(save: OpenSave, error: TrainerError): void {
    this.#discard(save);
    this.options.onFailure(error);
  }

  #discard(save: OpenSave): void {
    this.#save = null;
    if (save.isBegun) discardCheckpoint(this.#placeOf(save));
  }

  #unexpected(kind: string, { rank, step }: SaveIntent | ShardReport): TrainerError {
    const open = this.#save === null ? 'none is being saved' : `step ${this.#save.about.step} is being saved`;
    return new TrainerError(
      'BAD_MESSAGE',
      `it sent \`${kind}\` of rank ${rank} and step ${step}, but ${open}`,
    );
  }
}

/** Returns the error for two ranks whose shared parameters diverged: nothing they computed since is reliable. */
function divergence(first: SaveIntent, { rank, step }: SaveIntent): TrainerError {
  return new TrainerError(
    'COLLECTIVE_MISMATCH',
    `the parameters that all ranks share are not those of rank ${first.rank}: such a checkpoint is not saved`,
    { rank, step, operation: SAVE_OPERATION },
  );
}
