import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * How far the heap may grow between two full collections, in percent of the live heap. Typed arrays and buffers are
 * external memory that V8 counts as heap growth: with its default a few MB of them trigger a full mark at every step,
 * which cost an agent more time than moving the bytes and a worker a twelfth of its CPU time.
 */
const HEAP_GROWTH_PERCENT = 400;

/**
 * Makes full collections of this process rare and stop-the-world, a few ms each: V8's concurrent marking
 * would run on cores that workers compute on.
 */
export function collectSeldom(): void {
  // A collection ends any concurrent marking, which would no longer be paused while objects move, and would crash.
  collectNow();
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWTH_PERCENT}`);
  setFlagsFromString('--no-incremental-marking');
}

let collect: (() => void) | undefined;

/** Runs a full collection now; about 70 ms in a worker. */
export function collectNow(): void {
  if (collect === undefined) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as () => void;
  }
  collect();
}
