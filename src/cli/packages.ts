import type { HttpFeature } from '@locmoe/logs/http';
import { TrainerError } from '../errors.js';

/** What `@locmoe/page` offers. */
export interface PagePackage {
  /** The page that shows the runs in a folder. */
  pageFeature(runsDir: string): HttpFeature;
}

/**
 * The page builds on the trainer, so it is loaded by its name when it is called for.
 *
 * @throws TrainerError `NO_RESOURCE` if it is not installed
 */
export function loadPage(): Promise<PagePackage> {
  return load('@locmoe/page');
}

async function load<T>(name: string): Promise<T> {
  try {
    return await import(name);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND')) throw error;
    const [why] = error.message.split('\n');
    throw new TrainerError('NO_RESOURCE', `${name} is not installed, or not built (${why})`);
  }
}
