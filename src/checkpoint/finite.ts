/** Index of the first NaN or infinity; -1 if there is none. */
export function firstNotFinite(data: Float32Array): number {
  // x * 0 is 0 for finite x, else NaN: one sum needs no branch per element.
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += data[i]! * 0;
  return Number.isNaN(sum) ? data.findIndex((value) => !Number.isFinite(value)) : -1;
}
