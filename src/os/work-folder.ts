import { createHash, randomUUID } from 'node:crypto';
import { readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { machineIdentity, processIdentity } from '@locmoe/run-format/process-identity';

/** The end of the name of what a process writes before it is in its place: machine, process, and a number of its own. */
export function workMark(): string {
  return `${machineMark()}-${process.pid}-${randomUUID()}`;
}

/** Whether the process of a mark has ended; false where its id means nothing here. */
export function isAbandoned(mark: string): boolean {
  const [, machine, pid] = /^([0-9a-f]{16})-(\d+)-/.exec(mark) ?? [];
  return machine === machineMark() && processIdentity(Number(pid)) === '';
}

/** Removes what killed processes have left in a folder, under names of a prefix and a mark. */
export function removeAbandoned(folder: string, prefix: string): void {
  for (const name of readdirSync(folder))
    if (name.startsWith(prefix) && isAbandoned(name.slice(prefix.length)))
      try {
        rmSync(path.join(folder, name), { recursive: true, force: true });
      } catch {
        // Another user's.
      }
}

function machineMark(): string {
  return createHash('sha256').update(machineIdentity()).digest('hex').slice(0, 16);
}
