import { currentTheme } from '../theme.js';

type Rgb = readonly [number, number, number];

/** From too little over fair to too much: blue, the card's grey, orange, which all eyes tell apart. */
const SCALES: Readonly<Record<'light' | 'dark', readonly [Rgb, Rgb, Rgb]>> = {
  light: [
    [33, 102, 172],
    [240, 240, 238],
    [201, 92, 0],
  ],
  dark: [
    [86, 160, 230],
    [44, 48, 54],
    [240, 140, 40],
  ],
};
/** Powers of two from fair at which the scale ends. */
const FULL = 2;

/** The colour of a load: 1 is a fair share, a quarter and four times are the ends. */
export function loadColor(ratio: number): string {
  const [low, middle, high] = SCALES[currentTheme()];
  const power = Math.max(-FULL, Math.min(FULL, Math.log2(Math.max(ratio, 1e-3)))) / FULL;
  const end = power < 0 ? low : high;
  const mixed = middle.map((value, index) => Math.round(value + Math.abs(power) * (end[index] - value)));
  return `rgb(${mixed.join(' ')})`;
}
