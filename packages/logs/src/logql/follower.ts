import type { LogFile, ScannedLine } from '../store/log-file.js';
import type { FileView } from '../store/log-reader.js';
import { BlockReader } from '../store/log-reader.js';
import { Pacer } from '../store/pacer.js';
import type { LogQuery } from './ast.js';
import type { LogEngine } from './log-engine.js';
import { compareEntries, type LogEntry, toEntry, toPipelineLine } from './log-entries.js';
import { compilePipeline, type Pipeline } from './pipeline.js';

const POLL_MS = 100;
/** Maximum interval between two searches for new files and runs. */
const LIST_MS = 500;
/** Maximum number of bytes read from a file in one poll. */
const MAX_BYTES_PER_POLL = 4 << 20;

export interface FollowerListener {
  /** The new lines of a poll, in time order; never empty. The next poll waits for the promise. */
  lines(entries: readonly LogEntry[]): void | Promise<void>;
  /** Called at most once, with the error that has ended the following. */
  failed(error: unknown): void;
}

/**
 * Follows a query's lines as any process writes them, by polling the files. A line that arrives late keeps
 * its time, so that time order holds within a poll only.
 */
export class Follower {
  readonly #pipeline: Pipeline;
  /** Offset up to which each file was read. */
  readonly #positions: Map<LogFile, number>;
  #timer: NodeJS.Timeout | null = null;
  #polling: Promise<void> = Promise.resolve();
  #isClosed = false;
  /** Ends of all files that may have lines of the query, at the last read. */
  #ends = new Map<LogFile, number>();
  #readMs = Number.NEGATIVE_INFINITY;
  /** Whether the last read stopped at its limit, before the end of a file. */
  #hasMore = false;

  /** @param seen snapshots whose lines the caller has read already */
  constructor(
    private readonly engine: LogEngine,
    private readonly query: LogQuery,
    seen: readonly FileView[],
    private readonly listener: FollowerListener,
  ) {
    this.#pipeline = compilePipeline(query.stages);
    this.#positions = new Map(seen.map(({ file, end }) => [file, end]));
    this.#schedule();
  }

  close(): void {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  /** Reads what has been written so far, then closes. */
  async finish(): Promise<void> {
    this.close();
    await this.#polling;
    do {
      const entries = await this.readNew();
      if (entries.length > 0) await this.listener.lines(entries);
    } while (this.#hasMore);
  }

  #schedule(): void {
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => {
      this.#polling = this.#poll();
    }, POLL_MS);
  }

  async #poll(): Promise<void> {
    try {
      const entries = this.#mayHaveNew() ? await this.readNew() : [];
      if (entries.length > 0) await this.listener.lines(entries);
      this.#schedule();
    } catch (error) {
      if (!this.#isClosed) this.listener.failed(error);
    }
  }

  /** Whether new lines are possible; fast, as most polls find nothing, and this process may also coordinate a run. */
  #mayHaveNew(): boolean {
    if (this.#hasMore || performance.now() - this.#readMs >= LIST_MS) return true;
    const files = this.engine.knownFiles(this.query.matchers);
    return files.some((file) => this.#ends.get(file) !== file.end || file.hasChanged);
  }

  async readNew(): Promise<LogEntry[]> {
    const reader = new BlockReader(new Pacer());
    const entries: LogEntry[] = [];
    this.#hasMore = false;
    try {
      this.#readMs = performance.now();
      const views = await this.engine.open(this.query.matchers, Number.NEGATIVE_INFINITY);
      this.#ends = new Map(this.engine.knownFiles(this.query.matchers).map((file) => [file, file.end]));
      for (const view of views) await this.#readFile(view, reader, entries);
    } finally {
      reader.close();
    }
    return entries.sort(compareEntries);
  }

  async #readFile(view: FileView, reader: BlockReader, entries: LogEntry[]): Promise<void> {
    const { file } = view;
    let position = this.#positions.get(file) ?? 0;
    // The file was truncated or replaced.
    if (position > view.end) position = 0;
    const endOfPoll = position + MAX_BYTES_PER_POLL;
    const { test, run } = this.#pipeline;
    const visit = (line: ScannedLine) => {
      if (line.offset < position || !test.passes(line.from, line.to)) return;
      const pipelined = toPipelineLine(line);
      if (run !== null && !run(pipelined)) return;
      entries.push(toEntry(pipelined, line, file));
    };
    for (const block of view.blocks) {
      if (block.end <= position || block.offset >= view.end) continue;
      if (block.offset >= endOfPoll) {
        this.#hasMore = true;
        break;
      }
      await reader.read(view, block, test, visit, position);
      this.#positions.set(file, Math.min(block.end, view.end));
    }
  }
}
