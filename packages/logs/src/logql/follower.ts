import type { LogFile, ScannedLine } from '../store/log-file.js';
import type { FileView } from '../store/log-reader.js';
import { BlockReader } from '../store/log-reader.js';
import { Pacer } from '../store/pacer.js';
import type { LogQuery } from './ast.js';
import type { LogEngine } from './log-engine.js';
import { compareEntries, type LogEntry } from './log-entries.js';
import { compilePipeline, type Pipeline } from './pipeline.js';
import { PipelineLine } from './pipeline-line.js';

/** How often files are looked at for new lines. */
const POLL_MS = 100;
/** What is read of a file at once; the rest comes with the next look. */
const MAX_BYTES_A_LOOK = 4 << 20;

export interface FollowerListener {
  /** New lines, in order of time as far as they have come; never empty. Files are not read on before it is done. */
  lines(entries: readonly LogEntry[]): void | Promise<void>;
  /** Following ended because of this. */
  failed(error: unknown): void;
}

/**
 * Hands on the lines that a query selects as they are written, by this process or another: it looks at the files'
 * growth. Lines that a log receives late come late, with their time.
 */
export class Follower {
  readonly #pipeline: Pipeline;
  /** How far each file was read. */
  readonly #positions: Map<LogFile, number>;
  #timer: NodeJS.Timeout | null = null;
  #looking: Promise<void> = Promise.resolve();
  #isClosed = false;

  /**
   * @param seen files as they were when the lines before were read; what they hold is not handed on
   */
  constructor(
    readonly engine: LogEngine,
    readonly query: LogQuery,
    seen: readonly FileView[],
    readonly listener: FollowerListener,
  ) {
    this.#pipeline = compilePipeline(query.stages);
    this.#positions = new Map(seen.map(({ file, end }) => [file, end]));
    this.#schedule();
  }

  close(): void {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  /** Hands on what was written until now, and closes. */
  async finish(): Promise<void> {
    this.close();
    await this.#looking;
    for (let entries = await this.readNew(); entries.length > 0; entries = await this.readNew())
      await this.listener.lines(entries);
  }

  #schedule(): void {
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => {
      this.#looking = this.#look();
    }, POLL_MS);
  }

  async #look(): Promise<void> {
    try {
      const entries = await this.readNew();
      if (entries.length > 0) await this.listener.lines(entries);
      this.#schedule();
    } catch (error) {
      if (!this.#isClosed) this.listener.failed(error);
    }
  }

  /** The lines since the last look. */
  async readNew(): Promise<LogEntry[]> {
    const reader = new BlockReader(new Pacer());
    const entries: LogEntry[] = [];
    try {
      for (const view of await this.engine.open(this.query.matchers, Number.NEGATIVE_INFINITY))
        await this.#readFile(view, reader, entries);
    } finally {
      reader.close();
    }
    return entries.sort(compareEntries);
  }

  async #readFile(view: FileView, reader: BlockReader, entries: LogEntry[]): Promise<void> {
    const { file } = view;
    let position = this.#positions.get(file) ?? 0;
    // A file that began anew is read anew.
    if (position > view.end) position = 0;
    const endOfLook = position + MAX_BYTES_A_LOOK;
    const { test, run } = this.#pipeline;
    const visit = (line: ScannedLine) => {
      if (line.offset < position || !test.passes(line.from, line.to)) return;
      const pipelined = new PipelineLine(line.bytes.toString('utf8', line.from, line.to), line.stream.labels);
      if (run !== null && !run(pipelined)) return;
      const { timeMs, nanos, offset } = line;
      entries.push({ timeMs, nanos, labels: pipelined.labels, text: pipelined.text, file, offset });
    };
    for (const block of view.blocks) {
      if (block.end <= position || block.offset >= view.end) continue;
      if (block.offset >= endOfLook) break;
      await reader.read(view, block, test, visit);
      this.#positions.set(file, Math.min(block.end, view.end));
    }
  }
}
