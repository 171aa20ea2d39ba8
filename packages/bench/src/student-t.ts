import { regularizedIncompleteBeta } from 'locmoe/routing/special-functions';

/** P(T > t) of Student's t distribution (Abramowitz and Stegun 26.7.1). */
export function studentTAbove(t: number, degreesOfFreedom: number): number {
  const bothTails = regularizedIncompleteBeta(
    degreesOfFreedom / (degreesOfFreedom + t * t),
    degreesOfFreedom / 2,
    0.5,
  );
  return t >= 0 ? bothTails / 2 : 1 - bothTails / 2;
}
