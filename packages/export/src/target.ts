import type { Checkpoint } from 'locmoe/checkpoint/checkpoint';
import type { OutputFolder } from './output-folder.js';

/** A format that a model can be exported to. */
export interface ExportTarget {
  /** What `locmoe export --help` says of it. */
  readonly description: string;
  /**
   * Writes the model of a checkpoint into an empty folder.
   *
   * @throws TrainerError `BAD_INPUT` if the format cannot hold this model, or as `OutputFolder.write`
   */
  write(checkpoint: Checkpoint, output: OutputFolder): Promise<void>;
}
