import type { LogEntry } from './log-entries.js';

/** A match, or a line around one. */
export interface ContextLine {
  readonly entry: LogEntry;
  readonly isMatch: boolean;
  /** Shared by consecutive lines of a source; grep prints `--` between groups. */
  readonly group: number;
}

export interface ContextOptions {
  readonly before: number;
  readonly after: number;
  /** The entry after the query's pipeline; null if it does not match. */
  readonly match: (entry: LogEntry) => LogEntry | null;
  readonly emit: (lines: readonly ContextLine[]) => void;
}

/** State of one source: the lines of one process, at all levels. */
interface Source {
  /** The last lines that have not been emitted. */
  held: LogEntry[];
  afterLeft: number;
  group: ContextLine[] | null;
  groupId: number;
}

/**
 * `grep -C` for a time-ordered mix of sources: the context of a match comes from its own source. A group is
 * emitted when it is complete; after `live()`, every line is emitted at once.
 */
export class ContextGrep {
  readonly #sources = new Map<string, Source>();
  #numGroups = 0;
  #isLive = false;

  constructor(private readonly options: ContextOptions) {}

  feed(entry: LogEntry): void {
    const { before, after, match } = this.options;
    const source = this.#sourceOf(entry);
    const matched = match(entry);
    if (matched !== null) {
      if (source.group === null) {
        source.group = [];
        source.groupId = ++this.#numGroups;
      }
      for (const held of source.held) this.#show(source, held, false);
      source.held = [];
      this.#show(source, matched, true);
      source.afterLeft = after;
    } else if (source.afterLeft > 0) {
      source.afterLeft--;
      this.#show(source, entry, false);
    } else {
      source.held.push(entry);
      if (source.held.length <= before) return;
      source.held.shift();
      this.#close(source);
    }
  }

  /** Emits the open groups, and every later line at once. */
  live(): void {
    this.#isLive = true;
    const open = [...this.#sources.values()].filter(({ group }) => group !== null);
    for (const source of open.sort((a, b) => a.groupId - b.groupId)) {
      this.options.emit(source.group!);
      source.group = [];
    }
  }

  #show(source: Source, entry: LogEntry, isMatch: boolean): void {
    const line = { entry, isMatch, group: source.groupId };
    if (this.#isLive) this.options.emit([line]);
    else source.group!.push(line);
  }

  #close(source: Source): void {
    if (source.group !== null && source.group.length > 0) this.options.emit(source.group);
    source.group = null;
  }

  #sourceOf({ file, labels }: LogEntry): Source {
    // Node and rank of the coordinator's lines tell what a line is about, not who wrote it.
    const writer =
      labels.get('source') === 'coordinator' ? '' : `${labels.get('node') ?? ''}/${labels.get('rank') ?? ''}`;
    const key = `${file.source}/${writer}`;
    let source = this.#sources.get(key);
    if (source === undefined) {
      source = { held: [], afterLeft: 0, group: null, groupId: 0 };
      this.#sources.set(key, source);
    }
    return source;
  }
}
