export { benchRouters } from './bench.js';
