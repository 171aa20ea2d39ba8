import { statSync } from 'node:fs';
import type { LogFolder } from './log-catalog.js';
import { LogFile, logFilesIn } from './log-file.js';

/** The logs of one run: its files and their indexes, kept between queries. */
export class RunLogs {
  readonly #files = new Map<string, LogFile>();

  constructor(readonly folder: LogFolder) {}

  /**
   * Takes in what was logged since the last time.
   *
   * @param sinceMs files that were last written to before are left out
   * @returns the files, by name
   */
  async refresh(sinceMs = Number.NEGATIVE_INFINITY): Promise<LogFile[]> {
    const paths = logFilesIn(this.folder.directory);
    for (const path of this.#files.keys()) if (!paths.includes(path)) this.#files.delete(path);
    const files: LogFile[] = [];
    for (const path of paths) {
      if (modifiedMs(path) < sinceMs) continue;
      let file = this.#files.get(path);
      if (file === undefined) {
        file = new LogFile(path, this.folder);
        this.#files.set(path, file);
      }
      await file.refresh();
      files.push(file);
    }
    return files;
  }
}

function modifiedMs(path: string): number {
  try {
    return statSync(path).mtimeMs;
  } catch {
    return Number.NEGATIVE_INFINITY;
  }
}
