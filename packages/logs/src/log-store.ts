import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { AppendFile, isDiskFull } from './append-file.js';
import { logFileName, logFilesIn, parseLogFileName } from './store/log-file.js';

/**
 * Writes the logs of a run: NDJSON files for each source (coordinator, node-0, ...). A file that has reached its
 * maximum size is followed by a new one, and the file before it is removed. Files are never renamed, so that a reader
 * in any process finds each line once.
 */
export class LogStore {
  /** The file that is written by source. */
  readonly #files = new Map<string, { readonly file: AppendFile; readonly segment: number }>();
  #broken = false;
  readonly #listeners = new Set<(line: string, source: string) => void>();

  /**
   * @param onError called when lines cannot be written. After a full disk, later lines are tried again; after
   *   any other error, all are dropped silently
   * @param maxBytes a file of this size is followed by another one; a line is never divided
   */
  constructor(
    readonly directory: string,
    private readonly onError: (error: unknown, file: string) => void,
    private readonly maxBytes = Number.POSITIVE_INFINITY,
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
    let { file, segment } = this.#files.get(source) ?? {
      file: null,
      segment: Math.max(0, ...this.#segmentsOf(source)),
    };
    try {
      file ??= this.#open(source, segment);
      if (file.size >= this.maxBytes) {
        // Old lines are removed first, as a full disk has no room for new ones otherwise.
        for (const old of this.#segmentsOf(source)) if (old < segment) rmSync(this.#place(source, old));
        file = this.#open(source, ++segment);
      }
      file.append(text);
    } catch (error) {
      this.#broken = !isDiskFull(error);
      this.onError(error, this.#place(source, segment));
    }
  }

  #open(source: string, segment: number): AppendFile {
    const file = new AppendFile(this.#place(source, segment));
    this.#files.get(source)?.file.close();
    this.#files.set(source, { file, segment });
    return file;
  }

  #place(source: string, segment: number): string {
    return path.join(this.directory, logFileName(source, segment));
  }

  #segmentsOf(source: string): number[] {
    const files = logFilesIn(this.directory).map(parseLogFileName);
    return files.filter((file) => file.source === source).map(({ segment }) => segment);
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
    for (const { file } of this.#files.values()) file.close();
    this.#files.clear();
  }
}
