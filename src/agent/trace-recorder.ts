import { appendFile, mkdir, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  encodeChunk,
  encodeHead,
  FLIGHT,
  parseTraceFileName,
  type TraceFileName,
  type TraceHead,
  traceFileName,
} from '@locmoe/run-format';
import { bootIdentity } from '@locmoe/run-format/process-identity';
import type { FlightRing } from '../collectives/flight-ring.js';
import { FLIGHT_SLOTS } from '../collectives/shm-layout.js';

/** Size at which a file is closed. */
const FILE_BYTES = 1 << 20;
/** Number of files that a node keeps over all generations; the oldest are removed. */
const MAX_FILES = 32;
/** Number of generations whose last files are kept longer, since they hold the steps before a failure. */
const KEPT_GENERATIONS = 5;
const LAST_FILES = 2;
/** Interval between two writes; a full ring is written sooner. */
const WRITE_EVERY_MS = 250;
/** Bytes that a slow disk may leave queued in memory; spans beyond them are lost. */
const MAX_QUEUED_BYTES = 16 << 20;

export interface TraceRecorderOptions extends Omit<TraceHead, 'machine' | 'monotonicEpochMs'> {
  readonly directory: string;
  /** Called once, if a file cannot be written; nothing is recorded after that. */
  readonly onError: (error: unknown) => void;
}

/** Part of the node's segment that the recorder reads. */
export interface TraceSource {
  readonly monotonicEpochMs: number;
  flightOf(localRank: number): Pick<FlightRing, 'take' | 'names' | 'newest'>;
}

/**
 * Writes the spans of a node's ranks (FlightRing) to files of bounded number and size. The rings are copied
 * as they are, after steps, so that recording costs the node next to nothing.
 */
export class TraceRecorder {
  #source: TraceSource | null = null;
  /** Ticket of the last written span, by local rank. */
  readonly #taken: number[];
  #takenMs = Number.NEGATIVE_INFINITY;
  #writing: Promise<void> = Promise.resolve();
  #queuedBytes = 0;
  #isBroken = false;
  #file: (TraceFileName & { bytes: number }) | null = null;

  constructor(private readonly options: TraceRecorderOptions) {
    this.#taken = new Array(options.workersPerNode).fill(0);
  }

  /** @param source read until `end` */
  begin(source: TraceSource): void {
    this.#source = source;
  }

  afterStep(): void {
    const source = this.#source;
    if (source === null || this.#isBroken) return;
    const isDue = performance.now() - this.#takenMs >= WRITE_EVERY_MS;
    const isFull = () =>
      this.#taken.some((taken, local) => source.flightOf(local).newest - taken > FLIGHT_SLOTS / 4);
    if (isDue || isFull()) this.#take(source, { all: false });
  }

  /** Reads the rings a last time, operations in flight included. */
  end(): void {
    if (this.#source !== null && !this.#isBroken) this.#take(this.#source, { all: true });
    this.#source = null;
  }

  /** Resolves once all is written, or after `timeoutMs`. */
  async settle(timeoutMs: number): Promise<void> {
    await Promise.race([this.#writing, sleep(timeoutMs, undefined, { ref: false })]);
  }

  #take(source: TraceSource, how: { readonly all: boolean }): void {
    this.#takenMs = performance.now();
    const { node, workersPerNode } = this.options;
    let step = Number.POSITIVE_INFINITY;
    const chunks = this.#taken.flatMap((taken, local) => {
      const ring = source.flightOf(local);
      const { words, upTo } = ring.take(taken, how);
      this.#taken[local] = upTo;
      if (words.length === 0) return [];
      step = Math.min(step, words[FLIGHT.step]!);
      return [encodeChunk(node * workersPerNode + local, ring.names, words)];
    });
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    if (bytes === 0 || this.#queuedBytes + bytes > MAX_QUEUED_BYTES) return;
    this.#queuedBytes += bytes;
    const { monotonicEpochMs } = source;
    this.#writing = this.#writing
      .then(() => this.#write(step, Buffer.concat(chunks), monotonicEpochMs))
      .then(() => {
        this.#queuedBytes -= bytes;
      })
      .catch((error) => {
        if (!this.#isBroken) this.options.onError(error);
        this.#isBroken = true;
      });
  }

  /** @param step first step in the chunks; no later chunk has an earlier step */
  async #write(step: number, chunks: Buffer, monotonicEpochMs: number): Promise<void> {
    const { directory, generation, node } = this.options;
    let file = this.#file;
    if (file === null || (file.bytes + chunks.length > FILE_BYTES && step > file.step)) {
      await mkdir(directory, { recursive: true });
      file = { generation, node, step, bytes: 0 };
      this.#file = file;
      const target = path.join(directory, traceFileName(file));
      await appendFile(target, encodeHead({ ...this.options, machine: bootIdentity(), monotonicEpochMs }));
      await this.#prune();
    }
    file.bytes += chunks.length;
    await appendFile(path.join(directory, traceFileName(file)), chunks);
  }

  async #prune(): Promise<void> {
    const { directory, node } = this.options;
    const files = (await readdir(directory))
      .flatMap((name) => parseTraceFileName(name) ?? [])
      .filter((file) => file.node === node)
      .sort((a, b) => a.generation - b.generation || a.step - b.step);
    for (const file of filesToRemove(files))
      await rm(path.join(directory, traceFileName(file)), { force: true });
  }
}

/**
 * Selects the surplus files of a node.
 *
 * @param files oldest first
 */
function filesToRemove(files: readonly TraceFileName[]): TraceFileName[] {
  const newest = files.at(-1)?.generation ?? 0;
  const isLast = ({ generation }: TraceFileName, index: number) =>
    generation > newest - KEPT_GENERATIONS && files[index + LAST_FILES]?.generation !== generation;
  const byWorth = [
    ...files.filter((file, index) => !isLast(file, index)),
    ...files.filter((file, index) => isLast(file, index)),
  ];
  return byWorth.slice(0, Math.max(0, files.length - MAX_FILES));
}
