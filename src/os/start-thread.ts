import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { runnable } from './runnable.js';

/**
 * Starts a thread of this process, which runs a built program, or where sources run, a bundle of its source.
 *
 * @param program URL of the module, with the ending .js also where the sources run
 */
export function startThread(program: URL, workerData?: unknown): Worker {
  if (!import.meta.url.endsWith('.ts')) return new Worker(program, { workerData });
  // The bundle needs no options by which this process runs sources.
  return new Worker(runnable(fileURLToPath(program).replace(/\.js$/, '.ts')), { workerData, execArgv: [] });
}
