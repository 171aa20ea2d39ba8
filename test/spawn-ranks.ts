export * from '../src/bench/ranks/index.js';
