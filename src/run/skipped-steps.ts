/** As many steps in a row that are not finite fail a generation: their weights give no others. */
export const MAX_SKIPPED_STEPS = 3;
