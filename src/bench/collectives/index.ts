export { type BenchCollectivesOptions, benchCollectives } from './bench.js';
