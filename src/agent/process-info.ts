import { readFileSync } from 'node:fs';

const PAGE_BYTES = 4096;

/** State letter (R, S, D, T, Z) and resident memory of a process; `X` and 0 once it is gone. */
export function processInfo(pid: number): { state: string; residentBytes: number } {
  try {
    // The command name in field 2 may hold spaces and parentheses: count from the last ')'.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0], residentBytes: Number(fields[21]) * PAGE_BYTES };
  } catch {
    return { state: 'X', residentBytes: 0 };
  }
}
