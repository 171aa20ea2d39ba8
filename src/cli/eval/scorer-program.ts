// Scores texts by a model; started by scorer-pool.ts, and ends with the channel to it.
import { openCheckpoint } from '../../checkpoint/checkpoint.js';
import { asTrainerError, type ErrorCode } from '../../errors.js';
import { type Inference, openInference } from '../../inference/inference.js';
import { type LogLikelihood, logLikelihoods, type ScoredText } from '../../inference/log-likelihood.js';

export interface ScoreRequest {
  /** Of the checkpoint; the same in every request. */
  readonly folder: string;
  readonly texts: readonly ScoredText[];
}

export type ScoreReply =
  | { readonly found: readonly LogLikelihood[] }
  | { readonly failure: { readonly code: ErrorCode; readonly message: string } };

let inference: Inference | undefined;

function reply({ folder, texts }: ScoreRequest): ScoreReply {
  try {
    inference ??= openInference(openCheckpoint(folder));
    return { found: logLikelihoods(inference, texts) };
  } catch (error) {
    const { code, message } = asTrainerError(error);
    return { failure: { code, message } };
  }
}

process.on('message', (request: ScoreRequest) => {
  process.send?.(reply(request));
});
