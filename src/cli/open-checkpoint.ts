import { placeNamed } from '@locmoe/run-format';
import { type Checkpoint, resolveCheckpoint } from '../checkpoint/checkpoint.js';

/**
 * @param place a folder, or the name of a run under `runs`
 * @throws TrainerError as `resolveCheckpoint`
 */
export function openCheckpoint(place: string): Checkpoint {
  return resolveCheckpoint(placeNamed(place, 'runs'), (warning) => console.error(`locmoe: ${warning}`));
}
