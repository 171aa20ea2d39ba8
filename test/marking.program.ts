// Allocates a given number of objects, which makes V8 mark its heap now and then, and calls `collectSeldom`.
import { collectSeldom } from '../src/garbage-collection.js';

const kept = Array.from({ length: Number(process.argv[2]) }, (_, index) => ({
  index,
  pair: [index, { index }],
}));
collectSeldom();
process.exit(kept.length > 0 ? 0 : 1);
