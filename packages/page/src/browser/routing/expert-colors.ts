import { cssColor, seriesColor } from '../theme.js';
import { type ExpertsOfDomain, groupsOf } from './expert-groups.js';

const NUM_HUES = 8;
/** Share of the hue in the palest expert of a group. */
const PALEST = 0.42;
/** Above this luminance black has more contrast than white. */
const MIDDLE_LUMINANCE = 0.18;

/**
 * Colours experts as the exported page does: a hue for each group, and a shade for each expert in it; with
 * only one group, a hue for each expert. Sets `--expert-N` and `--on-expert-N` on an element, for all its
 * descendants.
 */
export function setExpertColors(
  element: HTMLElement,
  { numExperts, expertsOfDomain }: { readonly numExperts: number; readonly expertsOfDomain: ExpertsOfDomain },
): void {
  const groups = groupsOf(expertsOfDomain);
  const card = rgbOf(cssColor('--card'));
  for (let expert = 0; expert < numExperts; expert++) {
    const group = groups.findIndex(({ experts }) => experts.includes(expert));
    const { experts } = groups[group] ?? { experts: [expert] };
    const place = groups.length > 1 ? experts.indexOf(expert) : expert;
    const [hue, share] =
      groups.length > 1
        ? [Math.max(0, group), 1 - ((1 - PALEST) * place) / Math.max(1, experts.length - 1)]
        : [place, 1 - 0.4 * (Math.floor(place / NUM_HUES) % 2)];
    const color = rgbOf(seriesColor(hue)).map((value, at) =>
      Math.round(card[at]! + share * (value - card[at]!)),
    );
    element.style.setProperty(`--expert-${expert}`, `rgb(${color.join(' ')})`);
    element.style.setProperty(
      `--on-expert-${expert}`,
      luminance(color) > MIDDLE_LUMINANCE ? '#000000' : '#ffffff',
    );
  }
}

/** Returns the properties of an element that stands for an expert. */
export function expertStyle(expert: number): Readonly<Record<string, string>> {
  return { '--color': `var(--expert-${expert})`, '--on-color': `var(--on-expert-${expert})` };
}

/** @param hex as `#0b62a4` */
function rgbOf(hex: string): number[] {
  return [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
}

function luminance(rgb: readonly number[]): number {
  const [red = 0, green = 0, blue = 0] = rgb.map((value) => (value / 255) ** 2.2);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
