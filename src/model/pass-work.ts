// Shapes: T tokens, a and b sides of a matrix.

/** Compute cost of a part of the model. */
export interface Work {
  /** Multiplications and additions of matrix products. */
  readonly flops: number;
  /** Elements read and written by everything else. */
  readonly touched: number;
  /** Calls of kernels, loops on the host, and tensors that are read or kept. */
  readonly operations: number;
}

export interface PassWork {
  readonly forward: Work;
  readonly backward: Work;
  /** Activations that the backward pass needs, in float32 numbers. */
  readonly kept: number;
}

type Counts = readonly [flops: number, touched: number, operations: number];

export function pass(forward: Counts, backward: Counts, kept = 0): PassWork {
  const work = ([flops, touched, operations]: Counts): Work => ({ flops, touched, operations });
  return { forward: work(forward), backward: work(backward), kept };
}

export function keeping(kept: number): PassWork {
  return pass([0, 0, 0], [0, 0, 0], kept);
}

export function plus(works: readonly PassWork[]): PassWork {
  const sum = (of: (work: PassWork) => number) => works.reduce((total, each) => total + of(each), 0);
  const counts = (direction: 'forward' | 'backward'): Counts => [
    sum((each) => each[direction].flops),
    sum((each) => each[direction].touched),
    sum((each) => each[direction].operations),
  ];
  return pass(
    counts('forward'),
    counts('backward'),
    sum(({ kept }) => kept),
  );
}

/** Returns the work of a norm of so many numbers, which are kept. */
export function norm(size: number): PassWork {
  return pass([0, 2 * size, 8], [0, 3 * size, 1], size);
}

/** Returns the work of a weight matrix [a, b] applied to T rows. */
export function product(T: number, a: number, b: number): PassWork {
  return pass([2 * T * a * b, 0, 2], [4 * T * a * b, 0, 2]);
}
