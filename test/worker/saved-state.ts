import { mkdtempSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type Checkpoint, openCheckpoint } from '../../src/checkpoint/checkpoint.js';
import { saveCheckpoint } from '../../src/checkpoint/checkpointer.js';
import { tensorsToSave } from '../../src/worker/state.js';
import type { TrainState } from '../../src/worker/train-step.js';

/** Saves a state as the checkpoint of a step, in a new folder below `folder`, and opens the checkpoint. */
export function savedState(
  state: TrainState,
  folder: string,
  step: number,
  tensors = tensorsToSave(state),
): Checkpoint {
  const run = mkdtempSync(path.join(folder, 'run-'));
  const tokenizerFile = path.join(run, 'tokenizer.json');
  writeFileSync(tokenizerFile, '{}');
  const place = { root: path.join(run, 'checkpoints'), step, generation: 1, keep: 1 };
  const about = { runId: 'r', config: state.config, tokenizerFile, metrics: {} };
  return openCheckpoint(saveCheckpoint({ ...place, ...about, tensors }));
}
