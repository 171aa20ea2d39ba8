import type { Command } from 'commander';
import { TrainerError } from '../../errors.js';
import { addLocateOptions, type LocateOptions, locateRun } from './locate.js';

/** `locmoe stop`: does what one Ctrl-C does, from another terminal. */
export function stopCommand(command: Command): void {
  addLocateOptions(command).action(stopRun);
}

async function stopRun(options: LocateOptions): Promise<void> {
  const run = await locateRun(options);
  if (run.kind === 'over')
    throw new TrainerError('BAD_INPUT', `run ${run.record.runId} is not going on: there is nothing to stop`);
  try {
    await run.client.stop('locmoe stop');
    console.log(`asked the coordinator at ${run.client.address} to stop after this step`);
  } finally {
    run.client.close();
  }
}
