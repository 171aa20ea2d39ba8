export type { Batch, ValidationBatch } from './batch.js';
export { CORPUS_DIR } from './corpora.js';
export { type Dataset, type DomainData, openDataset, readDocuments, type TokenSplit } from './dataset.js';
export type { Document, Split } from './document.js';
export { createLoader, type Loader, type LoaderOptions } from './loader.js';
export { type PrepareOptions, prepareDataset } from './prepare.js';
export { prepareAside } from './prepare-aside.js';
export { loadTokenizer, type Tokenizer } from './tokenizer.js';
