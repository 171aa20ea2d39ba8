import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeFolder } from 'locmoe/internal/os/make-folder';

/** The folders of a bench. */
export interface BenchFolders {
  readonly workDir: string;
  /** Receives the figures. */
  readonly out: string;
}

/**
 * Makes both, before what takes minutes or a night.
 *
 * @throws TrainerError `NO_RESOURCE` naming the option and what is in the way
 */
export function makeBenchFolders({ workDir, out }: BenchFolders): void {
  makeFolder(workDir, '--work-dir');
  makeFolder(out, '--out');
}

/** Writes figures as JSON into the folder `out`, and says where. */
export function writeFigures(out: string, name: string, figures: unknown): void {
  const file = path.join(out, name);
  writeFileSync(file, `${JSON.stringify(figures, null, 1)}\n`);
  console.log(`figures: ${file}`);
}
