import type { LogEntry } from './log-entries.js';

/** A line to show around a match, or a match itself. */
export interface ContextLine {
  readonly entry: LogEntry;
  readonly isMatch: boolean;
  /** Lines that follow each other in their source share it; a separator stands between different ones. */
  readonly group: number;
}

export interface ContextOptions {
  /** How many lines to show before and after a match. */
  readonly before: number;
  readonly after: number;
  /** Gives the entry as the query shows it, or null if it is no match. */
  readonly match: (entry: LogEntry) => LogEntry | null;
  readonly emit: (lines: readonly ContextLine[]) => void;
}

/** What is known of one source: who writes, whatever the level. */
interface Source {
  /** The last lines that were not shown. */
  held: LogEntry[];
  afterLeft: number;
  group: ContextLine[] | null;
  groupId: number;
}

/**
 * `grep -C` for lines that come in order of time from several sources: the lines around a match are those of its own
 * source. Groups are emitted whole, once they are complete, or in pieces as they come after `live()`.
 */
export class ContextGrep {
  readonly #sources = new Map<string, Source>();
  #numGroups = 0;
  #isLive = false;

  constructor(readonly options: ContextOptions) {}

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

  /** Emits what is held back; from now on nothing is. */
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
    const key = `${file.path}/${labels.get('node') ?? ''}/${labels.get('rank') ?? ''}`;
    let source = this.#sources.get(key);
    if (source === undefined) {
      source = { held: [], afterLeft: 0, group: null, groupId: 0 };
      this.#sources.set(key, source);
    }
    return source;
  }
}
