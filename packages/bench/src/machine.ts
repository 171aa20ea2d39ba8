import { cpus, totalmem } from 'node:os';

/** The machine of a report: processors, memory, Node version. */
export function machine(): string {
  const gib = Math.round(totalmem() / 2 ** 30);
  return `${cpus().length} x ${cpus()[0]!.model}, ${gib} GiB, Node ${process.versions.node}`;
}
