import { placeNamed } from '@locmoe/run-format';
import { type Checkpoint, resolveModel } from '../checkpoint/checkpoint.js';

/**
 * @param place a folder, or the name of a run under `runs`
 * @throws TrainerError as `resolveModel`
 */
export function openCheckpoint(place: string): Checkpoint {
  return resolveModel(placeNamed(place, 'runs'), (warning) => console.error(`locmoe: ${warning}`));
}
