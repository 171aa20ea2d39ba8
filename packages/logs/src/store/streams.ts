import { LOG_LEVELS } from '../levels.js';
import type { LineHead } from './line-head.js';
import type { LogFolder } from './log-catalog.js';

/** A label set. */
export type Labels = ReadonlyMap<string, string>;

/** A stream in Loki's sense: the lines with one label set. */
export interface LogStream {
  /** Unique within the stream's file. */
  readonly id: number;
  readonly labels: Labels;
}

/** Returns a canonical key, which is equal if and only if the label sets are equal. */
export function labelsKey(labels: Labels): string {
  return JSON.stringify([...labels].sort(([a], [b]) => (a < b ? -1 : 1)));
}

export class StreamTable {
  readonly all: LogStream[] = [];
  readonly #byHead = new Map<number, LogStream>();
  readonly #byLabels = new Map<string, LogStream>();
  readonly #fileNode: number;

  /** @param source name of the file without its extension: `coordinator`, `node-0` */
  constructor(
    private readonly folder: Pick<LogFolder, 'run' | 'service'>,
    private readonly source: string,
  ) {
    const node = /^node-(\d+)$/.exec(source);
    this.#fileNode = node === null ? -1 : Number(node[1]);
  }

  ofHead(head: LineHead): LogStream {
    const { level, generation, node, rank } = head;
    // The key must be an exact integer; streams with larger numbers are looked up by their label set.
    const isSmall = generation < 0xffff && node < 0xfff && rank < 0xffff;
    if (!isSmall) return this.#ofLabels(this.#labelsOf(head));
    const key = (((generation + 1) * 0x1000 + node + 1) * 0x10000 + rank + 1) * LOG_LEVELS.length + level;
    let stream = this.#byHead.get(key);
    if (stream === undefined) {
      stream = this.#ofLabels(this.#labelsOf(head));
      this.#byHead.set(key, stream);
    }
    return stream;
  }

  #ofLabels(labels: Labels): LogStream {
    const key = labelsKey(labels);
    let stream = this.#byLabels.get(key);
    if (stream === undefined) {
      stream = { id: this.all.length, labels };
      this.all.push(stream);
      this.#byLabels.set(key, stream);
    }
    return stream;
  }

  #labelsOf({ level, generation, node: headNode, rank }: LineHead): Labels {
    const node = headNode >= 0 ? headNode : this.#fileNode;
    const labels = new Map([
      ['run', this.folder.run],
      ['source', this.#sourceOf(node, rank)],
    ]);
    if (node >= 0) labels.set('node', String(node));
    if (rank >= 0) labels.set('rank', String(rank));
    labels.set('level', LOG_LEVELS[level]!);
    if (generation >= 0) labels.set('generation', String(generation));
    return labels.set('service_name', this.folder.service);
  }

  /** Returns the source of a line; the coordinator is the source of all its lines, even those about a node or rank. */
  #sourceOf(node: number, rank: number): string {
    if (this.source === 'coordinator') return 'coordinator';
    if (rank >= 0) return 'worker';
    return node >= 0 ? 'node' : this.source;
  }
}
