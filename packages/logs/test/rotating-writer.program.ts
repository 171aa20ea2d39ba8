// Writes numbered lines to files of 100 kB, a batch whenever the reader has read the batch before.
import { once } from 'node:events';
import { LogStore } from '../src/log-store.js';
import { logLine } from './support.js';

const { DIRECTORY = '', NUM_LINES, PER_BATCH } = process.env;
const store = new LogStore(
  DIRECTORY,
  (error) => {
    throw error;
  },
  100_000,
);
for (let number = 0; number < Number(NUM_LINES); number++) {
  store.append('node-0', logLine({ atMs: number, node: 0, msg: String(number) }));
  if ((number + 1) % Number(PER_BATCH) === 0) await once(process, 'message');
}
store.close();
process.disconnect();
