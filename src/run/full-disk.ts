import { isDiskFull } from '@locmoe/logs/append-file';

/** Whether the run goes on although `file` could not be written because of `error`. */
export type FullDisk = (error: unknown, file: string) => boolean;

/** What a run tells of itself is not worth the run: of a full disk it warns once, and goes on without. */
export function tolerateFullDisk(warn: (line: string) => void): FullDisk {
  let hasWarned = false;
  return (error, file) => {
    if (!isDiskFull(error)) return false;
    if (!hasWarned) {
      // First, as the warning may find the disk full in its turn.
      hasWarned = true;
      warn(
        `cannot write ${file}: ${error.message}; free some space; the run goes on, and what does not fit into its logs and metrics is lost`,
      );
    }
    return true;
  };
}
