import { writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import path from 'node:path';
import { makeFolder } from 'locmoe/internal/os/make-folder';

/** The folders of a bench. */
export interface BenchFolders {
  readonly workDir: string;
  /** Folder that receives the figures. */
  readonly out: string;
}

/**
 * Creates both folders, before measuring takes minutes or a night.
 *
 * @throws TrainerError `NO_RESOURCE` naming the option and what is in the way
 */
export function makeBenchFolders({ workDir, out }: BenchFolders): void {
  makeFolder(workDir, '--work-dir');
  makeFolder(out, '--out');
}

/** Writes figures as JSON into the folder `out`, and prints the name of the file. */
export function writeFigures(out: string, name: string, figures: unknown): void {
  const file = path.join(out, name);
  writeFileSync(file, `${JSON.stringify(figures, null, 1)}\n`);
  console.log(`figures: ${file}`);
}

/** Describes the machine of a report: processors, memory, Node version. */
export function machine(): string {
  const gib = Math.round(totalmem() / 2 ** 30);
  return `${cpus().length} x ${cpus()[0]!.model}, ${gib} GiB, Node ${process.versions.node}`;
}
