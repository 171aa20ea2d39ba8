import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * How far the heap may grow between two full collections, in percent of what is alive. Typed arrays and buffers are
 * short-lived memory outside the heap that counts against it: by default some megabytes of them set off a mark of the
 * whole heap, at every step, which cost an agent more than all bytes it moved and a worker a twelfth of its processor time.
 */
const HEAP_GROWTH_PERCENT = 400;

/**
 * Makes this process mark its whole heap seldom, and then in one go, which takes some milliseconds: bit by bit V8 does it on
 * other threads too, on cores that workers compute on.
 */
export function collectSeldom(): void {
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWTH_PERCENT}`);
  setFlagsFromString('--no-incremental-marking');
}

let collect: (() => void) | undefined;

/** A full collection at a moment of one's own choice: some 70 ms for a worker. */
export function collectNow(): void {
  if (collect === undefined) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as () => void;
  }
  collect();
}
