import path from 'node:path';
import type { Logger } from '../../logger.js';
import { STEP_PARTS, type ValidationReport } from '../../rpc/messages.js';
import { droppedShare, type GlobalStep, locality } from '../../run/global-step.js';
import type { GenerationView, RunListener, RunSnapshot } from '../../run/run-listener.js';
import type { RunState } from '../../run/run-state.js';
import { meanLoss } from '../../run/validation-loss.js';
import { EventFile } from './event-file.js';

export interface TensorboardOptions {
  /** Holds a folder for each run, so that TensorBoard compares them. */
  readonly directory: string;
  readonly runId: string;
  /** Step of the checkpoint that the run starts from; null for a new run. */
  readonly resumedFrom: number | null;
  readonly logger: Logger;
}

/**
 * Writes a run's scalars for TensorBoard. If that fails (on a full disk, say), it warns once and stops; the
 * run goes on.
 */
export class TensorboardExport implements RunListener {
  #file: EventFile | null;
  #resumedFrom: number | null;

  /** @throws the file system's error if the first file cannot be made */
  constructor(readonly options: TensorboardOptions) {
    this.#file = EventFile.create(path.join(options.directory, options.runId));
    this.#resumedFrom = options.resumedFrom;
  }

  generation({ resumedFrom }: GenerationView): void {
    this.#resumedFrom = resumedFrom ?? 0;
  }

  /** Once a resumed run trains, the steps that it repeats are discarded. */
  state({ kind }: RunState): void {
    if (kind === 'running' && this.#resumedFrom !== null)
      this.#append({ kind: 'start', timeMs: Date.now(), step: this.#resumedFrom + 1 });
  }

  step(step: GlobalStep, { tokensPerS }: RunSnapshot): void {
    const places = locality(step.layers);
    this.#scalars(step.step, {
      ...known({
        'train/loss': step.loss,
        'train/auxiliary_loss': step.auxiliaryLoss,
        'train/gradient_norm': step.gradientNorm,
      }),
      'train/learning_rate': step.learningRate,
      ...(tokensPerS > 0 ? { 'speed/tokens_per_second': tokensPerS } : {}),
      'speed/step_ms': step.stepMs,
      ...Object.fromEntries(STEP_PARTS.map((part) => [`step_ms/${part}`, step.partsMs[part]])),
      ...(step.layers.length === 0 ? {} : { 'routing/dropped_share': droppedShare(step.layers) }),
      ...(places && {
        'locality/same_worker_share': places.sameWorker,
        'locality/same_node_share': places.sameNode,
        'locality/other_node_share': places.otherNode,
      }),
    });
  }

  validation({ step, domains }: ValidationReport): void {
    this.#scalars(step, {
      'validation/loss': meanLoss({ domains }),
      ...Object.fromEntries(domains.map(({ domain, loss }) => [`validation/loss_${domain}`, loss])),
    });
  }

  close(): void {
    this.#file?.close();
    this.#file = null;
  }

  #scalars(step: number, scalars: Readonly<Record<string, number>>): void {
    this.#append({ kind: 'scalars', timeMs: Date.now(), step, scalars });
  }

  #append(event: Parameters<EventFile['append']>[0]): void {
    try {
      this.#file?.append(event);
    } catch (error) {
      this.options.logger.warn(
        `no more is written for TensorBoard: ${error instanceof Error ? error.message : String(error)} (--tensorboard)`,
      );
      this.close();
    }
  }
}

/** Without those that a skipped step does not have. */
function known(scalars: Readonly<Record<string, number | null>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(scalars).flatMap(([name, value]) => (value === null ? [] : [[name, value]])),
  );
}
