/**
 * Schemas, readers and writers of the files that a run leaves behind.
 *
 * @module locmoe/run-format
 */
export * from '@locmoe/run-format';
