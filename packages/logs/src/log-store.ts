import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { AppendFile, isDiskFull } from './append-file.js';

/** Writes the logs of a run: one NDJSON file for each source (coordinator, node-0, ...). */
export class LogStore {
  readonly #files = new Map<string, AppendFile>();
  #broken = false;
  readonly #listeners = new Set<(line: string, source: string) => void>();

  /**
   * @param onError called when lines cannot be written. After a full disk, later lines are tried again; after
   *   any other error, all are dropped silently
   */
  constructor(
    readonly directory: string,
    private readonly onError: (error: unknown, file: string) => void,
  ) {
    mkdirSync(directory, { recursive: true });
  }

  /** Appends one line to the file of `source`, synchronously, so that it survives a kill of this process. */
  append(source: string, line: string): void {
    this.appendAll(source, [line]);
  }

  /** Like `append`, for several lines with one write. */
  appendAll(source: string, lines: readonly string[]): void {
    if (lines.length === 0) return;
    if (!this.#broken) this.#write(source, `${lines.join('\n')}\n`);
    for (const line of lines) for (const listener of this.#listeners) listener(line, source);
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

  /**
   * Calls `listener` for every line that this store appends, even if the line could not be written. To follow
   * a log that other processes write, use `RunLogReader` with `follow`.
   *
   * @returns a function that removes the listener
   */
  onAppend(listener: (line: string, source: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    for (const file of this.#files.values()) file.close();
    this.#files.clear();
  }
}
