import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { constants, hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { getSystemErrorName } from 'node:util';
import type { RunFolder } from '@locmoe/run-format';
import { isOfThisMachine, machineIdentity, processIdentity } from '@locmoe/run-format/process-identity';
import { readRegularFile } from '@locmoe/run-format/regular-file';
import { z } from 'zod';
import { TrainerError } from '../errors.js';
import { tryLock } from '../os/libc.js';

/** Schema of `run.lock`, which names the process that holds the lock. */
const holderSchema = z.object({
  pid: z.number().int(),
  host: z.string(),
  machine: z.string(),
  process: z.string(),
  since: z.string(),
});
type Holder = z.output<typeof holderSchema>;

/** A new holder writes its name at once; until then the file names the previous one. */
const NAMING_MS = 500;
const NAMING_POLL_MS = 10;

/**
 * Locks a run for this process until it ends: the kernel holds the lock, so a kill frees it. Where the file
 * system has no locks, `warn` is called, and the run's record alone tells whether it is alive.
 *
 * @returns a function that releases the run before the process ends
 * @throws TrainerError `BAD_INPUT` naming the process that holds the run
 */
export async function claimRun(folder: RunFolder, warn: (line: string) => void): Promise<() => void> {
  // Node opens files close-on-exec: no orphan keeps the lock.
  const fd = openSync(folder.lock, 'a+');
  const errno = tryLock(fd);
  if (errno === constants.errno.EWOULDBLOCK) {
    closeSync(fd);
    throw await heldBy(folder);
  }
  if (errno !== 0)
    warn(
      `${folder.lock} cannot be locked here (${getSystemErrorName(-errno)}): see to it that no other process resumes this run`,
    );
  ftruncateSync(fd);
  writeSync(fd, `${JSON.stringify(thisProcess())}\n`);
  return () => closeSync(fd);
}

function thisProcess(): Holder {
  const { pid } = process;
  return {
    pid,
    host: hostname(),
    machine: machineIdentity(),
    process: processIdentity(pid),
    since: new Date().toISOString(),
  };
}

async function heldBy({ runId, lock }: RunFolder): Promise<TrainerError> {
  const deadline = performance.now() + NAMING_MS;
  let holder = readHolder(lock);
  while (!isAlive(holder) && performance.now() < deadline) {
    await sleep(NAMING_POLL_MS);
    holder = readHolder(lock);
  }
  const who =
    holder === null ? 'another process' : `process ${holder.pid} on ${holder.host} since ${holder.since}`;
  return new TrainerError(
    'BAD_INPUT',
    `run ${runId} is held by ${who}: stop that before you resume it, or start a new run from its checkpoint with --fork`,
  );
}

function readHolder(lock: string): Holder | null {
  try {
    return holderSchema.parse(JSON.parse(readRegularFile(lock).toString()));
  } catch {
    return null;
  }
}

/** Tells whether the holder is alive; a holder on another machine, which cannot be checked, counts as alive. */
function isAlive(holder: Holder | null): boolean {
  return holder !== null && (!isOfThisMachine(holder) || processIdentity(holder.pid) === holder.process);
}
