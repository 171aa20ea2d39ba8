export { benchCollectives } from './bench.js';
