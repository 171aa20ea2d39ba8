import type { Checkpoint } from 'locmoe/internal/checkpoint/checkpoint';
import type { OutputFolder } from './output-folder.js';

export const WEIGHT_TYPES = ['float32', 'bfloat16', 'float16', 'q8_0', 'q4_k'] as const;
export type WeightType = (typeof WEIGHT_TYPES)[number];

export interface ExportTarget {
  /** Description in `locmoe export --help`. */
  readonly description: string;
  /** Types of weights that the format supports; only float32 if omitted. */
  readonly types?: readonly WeightType[];
  /** Whether the target gets low-rank pairs in addition to the weights; otherwise they are merged. */
  readonly takesPairs?: true;
  /**
   * Writes the model of a checkpoint into an empty folder.
   *
   * @param withRoutes whether a page shows the probe of the checkpoint's run (train.probeRoutes)
   * @throws TrainerError `BAD_INPUT` if the format cannot hold this model, or as `OutputFolder.write`
   */
  write(checkpoint: Checkpoint, output: OutputFolder, dtype: WeightType, withRoutes?: boolean): Promise<void>;
  /** Lines to print about what was written. */
  lines?(checkpoint: Checkpoint, dtype: WeightType): readonly string[];
}
