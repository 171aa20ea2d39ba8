export { assertFits, type Checkpoint, openCheckpoint, resolveCheckpoint } from './checkpoint.js';
export {
  momentName,
  type NamedTensor,
  type RankTensors,
  SAVE_OPERATION,
  type SaveOptions,
  saveCheckpoint,
} from './checkpointer.js';
export { digestFile, type FileDigest } from './durable.js';
export { claimCheckpoints, committedFolders, newestGeneration, stepOf } from './folders.js';
export { type InheritOptions, inheritedValues } from './inherit.js';
export { generationOf, MANIFEST_FILE, type Manifest } from './manifest.js';
