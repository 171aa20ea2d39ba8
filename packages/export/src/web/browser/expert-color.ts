/** Experts that each domain may use. */
export interface Groups {
  readonly domains: readonly string[];
  readonly expertsOfDomain: readonly (readonly number[])[];
}

const NUM_HUES = 8;
/** Share of the hue in the palest expert of a group. */
const PALEST = 0.42;
/** Relative luminance of a colour in CSS. */
const LUMINANCE = '0.2126 * r + 0.7152 * g + 0.0722 * b';
/** Intensity of white where it has more contrast than black, which is on colours up to a luminance of 0.18; else 0. */
const WHITE = `clamp(0, (0.18 - (${LUMINANCE})) * 10000, 1)`;

/** Groups the experts by the domains that use them; without level 1, there is one group of all experts. */
export function groupsOf({ expertsOfDomain, domains }: Groups) {
  const groups = new Map<string, { readonly experts: readonly number[]; readonly domains: string[] }>();
  expertsOfDomain.forEach((experts, domain) => {
    const group = groups.get(String(experts)) ?? { experts, domains: [] };
    group.domains.push(domains[domain]!);
    groups.set(String(experts), group);
  });
  return [...groups.values()].sort((a, b) => a.experts[0]! - b.experts[0]!);
}

/**
 * Colours experts: a hue for each group and a shade for each expert in it; with only one group, a hue for
 * each expert. Hues are distinguishable with any colour vision, and every expert is also labelled with its
 * number.
 *
 * @returns styles of an element that stands for an expert
 */
export function expertStyles(config: Groups): (expert: number) => string {
  const groups = groupsOf(config);
  return (expert) => {
    const group = groups.findIndex(({ experts }) => experts.includes(expert));
    const { experts } = groups[group] ?? { experts: [expert] };
    const place = experts.indexOf(expert);
    const [hue, share] =
      groups.length > 1
        ? [group, 1 - ((1 - PALEST) * place) / Math.max(1, experts.length - 1)]
        : [place, 1 - 0.4 * (Math.floor(place / NUM_HUES) % 2)];
    const color = `color-mix(in oklab, var(--hue-${hue % NUM_HUES}) ${Math.round(share * 100)}%, var(--card))`;
    return `--color: ${color}; --on-color: color(from ${color} srgb-linear ${WHITE} ${WHITE} ${WHITE})`;
  };
}
