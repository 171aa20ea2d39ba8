import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * How far the heap may grow between two full collections, in percent of what is alive. Typed arrays and buffers are
 * short-lived memory outside the heap that counts against it: by default some megabytes of them set off a mark of the
 * whole heap, at every step, which cost an agent more than all bytes it moved and a worker a twelfth of its processor time.
 */
const HEAP_GROWTH_PERCENT = 400;

/** Marks the whole heap seldom, and then in one go: bit by bit it takes other threads, on cores that workers compute on. */
export function collectSeldom(): void {
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWTH_PERCENT}`);
  setFlagsFromString('--no-incremental-marking');
}

let collect: (() => void) | undefined;

/** A full collection: some 70 ms for a worker. Where it is known when one costs least, garbage need not pile up. */
export function collectNow(): void {
  if (collect === undefined) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as () => void;
  }
  collect();
}
