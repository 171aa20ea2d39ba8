import { parentPort, workerData } from 'node:worker_threads';
import { asTrainerError } from '../errors.js';
import { prepareDataset } from './prepare.js';
import type { PrepareMessage, PrepareWork } from './prepare-aside.js';

// The thread that prepares a dataset (prepare-aside.ts).
const say = (message: PrepareMessage) => parentPort!.postMessage(message);
try {
  const { options, work }: PrepareWork = workerData;
  prepareDataset({ ...options, log: (line) => say({ line }) }, work);
} catch (error) {
  const { code, line } = asTrainerError(error);
  // A bug keeps its stack, which an error loses on its way to another thread.
  if (code === 'INTERNAL') throw error;
  say({ failure: { code, message: line } });
}
