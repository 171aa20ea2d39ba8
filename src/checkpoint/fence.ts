import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { asTrainerError, TrainerError } from '../errors.js';
import { asStorageError, syncFolder, writeDurably } from './durable.js';

// A process of an earlier generation may still be alive: suspended with its machine, or stuck in a call to a
// file server. When it resumes it must not touch what a later generation has saved. So every generation but
// the first leaves a marker, an empty file `generation-<number>` beside its checkpoints, and the highest
// number owns them. A generation writes only its own marker, so none can revoke another's.

const MARKER = /^generation-(\d+)$/;

/**
 * Writes the marker of this generation and removes the markers of earlier generations.
 *
 * @throws TrainerError `SUPERSEDED` if a later generation was started
 */
export function markGeneration(root: string, generation: number): void {
  mkdirSync(root, { recursive: true });
  writeDurably(join(root, `generation-${generation}`), []);
  syncFolder(root);
  assertNotSuperseded(root, generation);
  for (const marked of markedGenerations(root))
    if (marked < generation) rmSync(join(root, `generation-${marked}`), { force: true });
}

/** @throws TrainerError `SUPERSEDED` if a later generation was started */
export function assertNotSuperseded(root: string, generation: number): void {
  const newest = Math.max(0, ...markedGenerations(root));
  if (newest > generation) throw superseded(generation, newest);
}

/** The operation that errors name if a save refuses to write something, such as a tensor with NaN or infinity. */
export const SAVE_OPERATION = 'checkpoint write';

/**
 * Does a part of a save. Any failure after a later generation has taken over is attributed to the takeover,
 * which may for instance have moved a folder.
 *
 * @throws TrainerError `SUPERSEDED` in this case; otherwise what `work` throws, with step and operation
 */
export function fenced<T>(
  { root, step, generation }: { readonly root: string; readonly step: number; readonly generation: number },
  work: () => T,
): T {
  try {
    return work();
  } catch (error) {
    assertNotSuperseded(root, generation);
    throw asTrainerError(asStorageError(error), { step, operation: SAVE_OPERATION });
  }
}

export function superseded(generation: number, newest: number): TrainerError {
  return new TrainerError(
    'SUPERSEDED',
    `this process is of generation ${generation} of the run, which a later process took over as generation ` +
      `${newest}: it ends without saving`,
  );
}

/** Lists the generations that have a marker. */
export function markedGenerations(root: string): number[] {
  if (!existsSync(root)) return [];
  return readdirSync(root).flatMap((name) => {
    const marker = MARKER.exec(name);
    return marker === null ? [] : [Number(marker[1])];
  });
}
