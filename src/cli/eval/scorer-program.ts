// Scores texts by a model. scorer-pool.ts starts this program, which ends when the channel to the parent closes.
import { openCheckpoint } from '../../checkpoint/checkpoint.js';
import { asTrainerError, type ErrorCode, type ErrorContext } from '../../errors.js';
import { type Inference, openInference } from '../../inference/inference.js';
import { type LogLikelihood, logLikelihoods, type ScoredText } from '../../inference/log-likelihood.js';

export interface ScoreRequest {
  /** Folder of the checkpoint, the same in every request. */
  readonly folder: string;
  readonly texts: readonly ScoredText[];
}

export interface ScoreFailure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly context: ErrorContext;
}

export type ScoreReply = { readonly found: readonly LogLikelihood[] } | { readonly failure: ScoreFailure };

let inference: Inference | undefined;

function reply({ folder, texts }: ScoreRequest): ScoreReply {
  try {
    inference ??= openInference(openCheckpoint(folder));
    return { found: logLikelihoods(inference, texts) };
  } catch (error) {
    const { code, message, context, stack } = asTrainerError(error);
    // The parent would print its own stack, not that of the error.
    if (code === 'INTERNAL') console.error(stack);
    return { failure: { code, message, context } };
  }
}

process.on('message', (request: ScoreRequest) => {
  // A failed send needs no handling: without its parent this process ends.
  process.send?.(reply(request), undefined, undefined, () => undefined);
});
