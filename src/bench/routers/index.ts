export { type BenchRoutersOptions, benchRouters } from './bench.js';
