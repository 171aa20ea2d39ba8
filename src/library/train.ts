import { EventEmitter, on } from 'node:events';
import type { TrainingEvent, TrainingResult, TrainOptions } from './training.js';

/** A training run in progress. Iterating yields the events from its start on, and throws what `result` rejects with. */
export interface Training extends AsyncIterable<TrainingEvent> {
  /**
   * Resolves when the run is over and all of its processes have ended.
   *
   * Rejects with a TrainerError: `BAD_CONFIG`, `BAD_INPUT`, `BAD_CHECKPOINT` or `NO_RESOURCE` before the run exists, the
   * code of the failure afterwards; or with the reason of `signal` if that ended the preparation.
   */
  readonly result: Promise<TrainingResult>;
}

/**
 * Trains on this machine: leads the run in this process and starts node agents and workers as its children. The run is
 * the same as one of `locmoe train`: `locmoe inspect`, `status` and `stop` know it, and it restarts after failures. This
 * process keeps its own signal handlers and exit code; if it ends, its children end too. The first training after an
 * installation fetches TensorFlow (`locmoe setup`) and says so on stderr.
 *
 * @example
 * ```js
 * const training = train({ config: 'tiny', set: { 'train.steps': 100 } });
 * for await (const event of training)
 *   if (event.type === 'step') console.log(event.step, event.loss);
 * const { directory } = await training.result;
 * ```
 */
export function train(options: TrainOptions): Training {
  const events = new EventEmitter();
  let isOver = false;
  const result = lead(options, (event) => events.emit('event', event)).finally(() => {
    isOver = true;
    events.emit('end');
  });
  // A program may only iterate, and learns of a failure there.
  result.catch(() => undefined);
  return {
    result,
    async *[Symbol.asyncIterator]() {
      if (!isOver) for await (const [event] of on(events, 'event', { close: ['end'] })) yield event;
      await result;
    },
  };
}

async function lead(options: TrainOptions, tell: (event: TrainingEvent) => void): Promise<TrainingResult> {
  const { leadHere } = await import('./lead-here.js');
  return leadHere(options, tell);
}
