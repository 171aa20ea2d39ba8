// Run as a process: saves steps 1 and 2, then step `argv[3]` with the failpoint `argv[4]` set, in the root `argv[2]`.
import { saveCheckpoint } from '../../src/checkpoint/index.js';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { saveOptions, tensorsOf } from './fixture.js';

const [root, lastStep, failpoint] = process.argv.slice(2);
const save = (step: number, from: number) =>
  saveCheckpoint(soloTransport(), saveOptions(root, step, tensorsOf(0, 1, from)));

save(1, 1);
save(2, 2);
process.env.LOCMOE_FAIL = failpoint;
// Values one hundred higher than those of the steps before, so that a replaced step 2 can be told from the first.
save(Number(lastStep), Number(lastStep) + 100);
