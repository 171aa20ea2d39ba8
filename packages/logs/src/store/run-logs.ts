import { statSync } from 'node:fs';
import type { LogFolder } from './log-catalog.js';
import { LogFile, logFilesIn } from './log-file.js';

/** The log files of one run, with their indexes. */
export class RunLogs {
  readonly #files = new Map<string, LogFile>();

  constructor(readonly folder: LogFolder) {}

  /** Files as of the last `refresh`. */
  get files(): readonly LogFile[] {
    return [...this.#files.values()];
  }

  /**
   * Indexes what was appended since the last call.
   *
   * @param sinceMs files last modified before are skipped
   * @returns the files, sorted by name
   */
  async refresh(sinceMs = Number.NEGATIVE_INFINITY): Promise<LogFile[]> {
    const paths = logFilesIn(this.folder.directory);
    for (const path of this.#files.keys()) if (!paths.includes(path)) this.#files.delete(path);
    const files: LogFile[] = [];
    for (const path of paths) {
      if (sinceMs > Number.NEGATIVE_INFINITY && modifiedMs(path) < sinceMs) continue;
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
