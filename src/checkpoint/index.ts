export { assertFits, type Checkpoint, openCheckpoint, resolveCheckpoint } from './checkpoint.js';
export {
  momentName,
  type NamedTensor,
  type RankTensors,
  type SaveOptions,
  saveCheckpoint,
} from './checkpointer.js';
export { digestFile, type FileDigest } from './durable.js';
export { claimCheckpoints, committedFolders, settledFolder } from './folders.js';
export { type InheritOptions, inheritedValues } from './inherit.js';
export { generationOf, type Manifest } from './manifest.js';
