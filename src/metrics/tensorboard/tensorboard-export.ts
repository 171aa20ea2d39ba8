import path from 'node:path';
import {
  droppedShare,
  type GlobalStep,
  locality,
  meanLoss,
  STEP_MEASURES,
  STEP_PARTS,
  type Validation,
} from '@locmoe/run-format';
import type { Logger } from '../../logger.js';
import type { GenerationView, RunListener, RunSnapshot } from '../../run/run-listener.js';
import type { RunState } from '../../run/run-state.js';
import { EventFile, type TensorboardEvent } from './event-file.js';

export interface TensorboardOptions {
  /** Holds a folder for each run, so that TensorBoard compares them. */
  readonly directory: string;
  readonly runId: string;
  /** Step of the checkpoint that the run starts from; null for a new run. */
  readonly resumedFrom: number | null;
  readonly logger: Logger;
}

/** TensorBoard polls every five seconds; a kill loses the events of this interval. */
const WRITE_MS = 1_000;

/**
 * Writes a run's scalars for TensorBoard. If that fails, it warns once and stops; the run goes on.
 *
 * Events are encoded and written together, once a second: one by one they cost a step many times as much, as the code
 * and the data have left the processor's caches since the step before.
 */
export class TensorboardExport implements RunListener {
  #file: EventFile | null;
  #resumedFrom: number | null;
  /** Creates the events that are not written yet, in order. */
  #pending: (() => TensorboardEvent)[] = [];
  #timer: NodeJS.Timeout | null = null;

  /** @throws the file system's error if the first file cannot be made */
  constructor(private readonly options: TensorboardOptions) {
    this.#file = new EventFile(path.join(options.directory, options.runId));
    this.#resumedFrom = options.resumedFrom;
  }

  generation({ resumedFrom }: GenerationView): void {
    this.#resumedFrom = resumedFrom ?? 0;
  }

  state({ kind }: RunState): void {
    const timeMs = Date.now();
    // The steps that a resumed run repeats are discarded once it trains.
    if (kind === 'running' && this.#resumedFrom !== null) {
      const step = this.#resumedFrom + 1;
      this.#add(() => ({ kind: 'start', timeMs, step }));
    }
    this.#write();
  }

  step(step: GlobalStep, { tokensPerS }: RunSnapshot): void {
    this.#addScalars(step.step, () => stepScalars(step, tokensPerS));
  }

  validation({ step, domains }: Validation): void {
    this.#addScalars(step, () => ({
      'validation/loss': meanLoss({ domains }),
      ...Object.fromEntries(domains.map(({ domain, loss }) => [`validation/loss_${domain}`, loss])),
    }));
  }

  checkpoint(): void {
    // A run that is resumed from this checkpoint does not repeat the earlier steps, so their events must be on disk.
    this.#write();
  }

  close(): void {
    this.#write();
    this.#file?.close();
    this.#file = null;
  }

  #addScalars(step: number, scalars: () => Readonly<Record<string, number>>): void {
    const timeMs = Date.now();
    this.#add(() => ({ kind: 'scalars', timeMs, step, scalars: scalars() }));
  }

  #add(make: () => TensorboardEvent): void {
    if (this.#file === null) return;
    this.#pending.push(make);
    this.#timer ??= setTimeout(() => this.#write(), WRITE_MS).unref();
  }

  #write(): void {
    const pending = this.#pending;
    this.#pending = [];
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (pending.length === 0) return;
    try {
      this.#file?.append(...pending.map((make) => make()));
    } catch (error) {
      this.options.logger.warn(
        `no more is written for TensorBoard: ${error instanceof Error ? error.message : String(error)} (--tensorboard)`,
      );
      this.close();
    }
  }
}

function stepScalars(step: GlobalStep, tokensPerS: number): Readonly<Record<string, number>> {
  const places = locality(step.layers);
  return {
    // A skipped step lacks some of the measures.
    ...Object.fromEntries(
      STEP_MEASURES.flatMap(({ name, tensorboard }) => {
        const value = step[name] ?? null;
        return tensorboard === undefined || value === null ? [] : [[tensorboard, value]];
      }),
    ),
    ...(tokensPerS > 0 ? { 'speed/tokens_per_second': tokensPerS } : {}),
    ...Object.fromEntries(STEP_PARTS.map((part) => [`step_ms/${part}`, step.partsMs[part]])),
    ...(step.layers.length === 0 ? {} : { 'routing/dropped_share': droppedShare(step.layers) }),
    ...(places && {
      'locality/same_worker_share': places.sameWorker,
      'locality/same_node_share': places.sameNode,
      'locality/other_node_share': places.otherNode,
    }),
  };
}
