/** As many steps in a row that are not finite fail a generation: their weights give no others. */
export const MAX_SKIPPED_STEPS = 3;

/** Where a failure was found that came out only in a validation: an update may lie between it and a checkpoint. */
export const VALIDATION_OPERATION = 'validation';
