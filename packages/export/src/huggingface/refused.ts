import { TrainerError } from 'locmoe/internal/errors';

/** Returns the error for a field of a model that no class of transformers computes. */
export function refused(field: string, why: string): TrainerError {
  return new TrainerError(
    'BAD_INPUT',
    `${field} cannot be exported to a class of transformers or to llama.cpp: ${why}`,
  );
}
