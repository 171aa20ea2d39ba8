import { makeFolder } from 'locmoe/internal/os/make-folder';

/** The folders of a bench. */
export interface BenchFolders {
  readonly workDir: string;
  /** Of the report. */
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
