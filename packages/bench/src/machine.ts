import { cpus, totalmem } from 'node:os';

/** The machine that a report was made on: processors, memory, version of Node. */
export function machine(): string {
  const gib = Math.round(totalmem() / 2 ** 30);
  return `${cpus().length} x ${cpus()[0].model}, ${gib} GiB, Node ${process.versions.node}`;
}
