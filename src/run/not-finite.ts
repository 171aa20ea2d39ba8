/** This many non-finite steps in a row fail a generation, as its weights would give no others. */
export const MAX_SKIPPED_STEPS = 3;

/** Operation of a failure that only a validation found; an update may lie between a checkpoint and it. */
export const VALIDATION_OPERATION = 'validation';
