/** This many non-finite steps in a row fail a generation, as its weights would give only further such steps. */
export const MAX_SKIPPED_STEPS = 3;

/** Operation of a failure that only a validation found; an update may lie between a checkpoint and the validation. */
export const VALIDATION_OPERATION = 'validation';
