import { currentTheme } from '../theme.js';

type Rgb = readonly [number, number, number];

/** Blue below a fair share, grey at it, orange above: distinct with any colour vision. */
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
/** The scale ends at 2^-2 and 2^2 of a fair share. */
const FULL = 2;
/** Above this luminance black has more contrast than white. */
const MIDDLE_LUMINANCE = 0.18;

/** Returns the colour of a load relative to a fair share. */
export function loadColor(ratio: number): string {
  return `rgb(${mixed(ratio).join(' ')})`;
}

/** Maps a share of dropped tokens to a load with a suitable colour: none is grey, all is orange. */
export function ratioOfDropped(share: number): number {
  return 2 ** (FULL * share);
}

/** Returns a text colour that is legible on the colour of a load. */
export function textOnLoad(ratio: number): string {
  const [red, green, blue] = mixed(ratio).map((value) => (value / 255) ** 2.2) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > MIDDLE_LUMINANCE ? '#000000' : '#ffffff';
}

function mixed(ratio: number): number[] {
  const [low, middle, high] = SCALES[currentTheme()];
  const power = Math.max(-FULL, Math.min(FULL, Math.log2(Math.max(ratio, 1e-3)))) / FULL;
  const end = power < 0 ? low : high;
  return middle.map((value, index) => Math.round(value + Math.abs(power) * (end[index]! - value)));
}
