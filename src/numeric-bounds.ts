/** The greatest whole number of a field: a signed 32-bit integer, which typed arrays, shared memory and timers hold. */
export const MAX_COUNT = 2 ** 31 - 1;
/** The greatest real number of a field: that of float32, in which the model computes. */
export const MAX_REAL = (2 - 2 ** -23) * 2 ** 127;
/** The greatest amount of bytes or tokens of a corpus. */
export const MAX_AMOUNT = 1e15;
