import { type Checkpoint, resolveCheckpoint } from '../checkpoint/checkpoint.js';

/** @throws TrainerError as `resolveCheckpoint` */
export function openCheckpoint(folder: string): Checkpoint {
  return resolveCheckpoint(folder, (warning) => console.error(`locmoe: ${warning}`));
}
