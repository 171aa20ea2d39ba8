import { parentPort, workerData } from 'node:worker_threads';
import { asTrainerError } from '../../errors.js';
import { makeDataset } from './prepare.js';
import type { PrepareMessage, PrepareWork } from './prepare-aside.js';

// The thread that prepares a dataset (prepare-aside.ts).
const say = (message: PrepareMessage) => parentPort!.postMessage(message);
try {
  const { options, preparation }: PrepareWork = workerData;
  await makeDataset(preparation, {
    ...options,
    log: (line) => say({ line }),
    progress: (progress) => say({ progress }),
  });
} catch (error) {
  const { code, line } = asTrainerError(error);
  // A bug is thrown here to keep its stack, which a message to the other thread would lose.
  if (code === 'INTERNAL') throw error;
  say({ failure: { code, message: line } });
}
