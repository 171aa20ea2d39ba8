import { createHash, randomUUID } from 'node:crypto';
import { readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { machineIdentity, processIdentity } from '@locmoe/run-format/process-identity';

/** Returns a suffix for the name of a temporary file or folder: machine, process, and a random id. */
export function workMark(): string {
  return `${machineMark()}-${process.pid}-${randomUUID()}`;
}

/** Tells whether a mark's process has ended; false for a mark of another machine, whose process ids mean nothing here. */
export function isAbandoned(mark: string): boolean {
  const [, machine, pid] = /^([0-9a-f]{16})-(\d+)-/.exec(mark) ?? [];
  return machine === machineMark() && processIdentity(Number(pid)) === '';
}

/** Removes what killed processes have left in a folder: the entries whose names consist of a prefix and a mark. */
export function removeAbandoned(folder: string, prefix: string): void {
  for (const name of readdirSync(folder))
    if (name.startsWith(prefix) && isAbandoned(name.slice(prefix.length)))
      try {
        rmSync(path.join(folder, name), { recursive: true, force: true });
      } catch {
        // The entry belongs to another user.
      }
}

function machineMark(): string {
  return createHash('sha256').update(machineIdentity()).digest('hex').slice(0, 16);
}
