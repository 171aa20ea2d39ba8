import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { AppendFile, isDiskFull } from './append-file.js';

/** The logs of a run: one file of JSON lines for each source (coordinator, node-0, ...), and whoever follows them. */
export class LogStore {
  readonly #files = new Map<string, AppendFile>();
  #broken = false;
  readonly #followers = new Set<(line: string, source: string) => void>();

  /**
   * @param onError told of a line that could not be kept, and of the file; from then on lines are dropped without a word,
   * but for a full disk, on which there may be room for the next
   */
  constructor(
    readonly directory: string,
    readonly onError: (error: unknown, file: string) => void,
  ) {
    mkdirSync(directory, { recursive: true });
  }

  /** Appends one line to the file of `source`; it is in the kernel's hands when the call returns. */
  append(source: string, line: string): void {
    if (!this.#broken) this.#write(source, `${line}\n`);
    for (const follower of this.#followers) follower(line, source);
  }

  #write(source: string, text: string): void {
    const place = path.join(this.directory, `${source}.ndjson`);
    try {
      let file = this.#files.get(source);
      if (file === undefined) {
        file = new AppendFile(place);
        this.#files.set(source, file);
      }
      file.append(text);
    } catch (error) {
      this.#broken = !isDiskFull(error);
      this.onError(error, place);
    }
  }

  /** Calls `follower` for every line from now on, with its source; returns how to stop. */
  follow(follower: (line: string, source: string) => void): () => void {
    this.#followers.add(follower);
    return () => this.#followers.delete(follower);
  }

  close(): void {
    for (const file of this.#files.values()) file.close();
    this.#files.clear();
  }
}
