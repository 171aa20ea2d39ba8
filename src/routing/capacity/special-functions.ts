// Special functions for the capacity bound, accurate to 1e-11 relative up to 8,192 dimensions.

const TINY = 1e-300;
const PRECISION = 1e-15;
const MAX_TERMS = 10_000;

// Lanczos approximation of the gamma function, g = 7, nine terms.
const LANCZOS = [
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
  12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
];

/** Computes the natural logarithm of the gamma function for x > 0. */
function logGamma(x: number): number {
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
  const z = x - 1;
  const t = z + 7.5;
  const series = LANCZOS.reduce((sum, term, i) => (i === 0 ? term : sum + term / (z + i)), 0);
  return 0.5 * Math.log(2 * Math.PI) + (z + 0.5) * Math.log(t) - t + Math.log(series);
}

/** Computes 1 / (1 + a_1 / (1 + a_2 / (1 + ...))) by the modified Lentz method (Thompson and Barnett). */
function continuedFraction(coefficient: (term: number) => number): number {
  let c = 1;
  let d = 0;
  let value = 1;
  for (let term = 1; term <= MAX_TERMS; term++) {
    const a = coefficient(term);
    d = 1 / nonZero(1 + a * d);
    c = nonZero(1 + a / c);
    value *= c * d;
    if (Math.abs(c * d - 1) < PRECISION) break;
  }
  return 1 / value;
}

function nonZero(x: number): number {
  return Math.abs(x) < TINY ? TINY : x;
}

/** Computes the regularised incomplete beta I_x(a, b), 0 <= x <= 1, a, b > 0 (Abramowitz and Stegun 26.5.8). */
export function regularizedIncompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  // The fraction converges fast on this side; otherwise use I_x(a, b) = 1 - I_{1-x}(b, a).
  if (x > (a + 1) / (a + b + 2)) return 1 - regularizedIncompleteBeta(1 - x, b, a);
  const front = Math.exp(
    logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x) - Math.log(a),
  );
  const fraction = continuedFraction((term) => {
    const m = Math.floor(term / 2);
    return term % 2 === 0
      ? (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m))
      : (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
  });
  return front * fraction;
}
