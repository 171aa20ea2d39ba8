import { getPriority, setPriority } from 'node:os';

/**
 * Gives way to the other threads of the machine; on Linux this applies to the calling thread alone. A thread whose niceness is
 * higher already keeps it, as in a command under `nice`: to lower it takes rights that a user does not have.
 */
export function lowerPriority(niceness: number): void {
  if (getPriority() < niceness) setPriority(niceness);
}
