/** What a run leaves behind on disk: schemas, readers and writers of its files. */
export * from '@locmoe/run-format';
