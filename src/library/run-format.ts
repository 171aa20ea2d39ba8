/** Schemas, readers and writers of the files that a run leaves behind. */
export * from '@locmoe/run-format';
