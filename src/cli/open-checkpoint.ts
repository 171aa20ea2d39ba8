import { type Checkpoint, resolveModel } from '../checkpoint/checkpoint.js';

/** @throws TrainerError as `resolveModel` */
export function openCheckpoint(folder: string): Checkpoint {
  return resolveModel(folder, (warning) => console.error(`locmoe: ${warning}`));
}
