/** Experts of each token by step and layer, as `ProbeData.experts` has them. */
export type ExpertsOfSteps = readonly (readonly (readonly string[])[])[];

/**
 * Returns the share of choices that are the same at two steps, over some layers and all tokens. An expert that a token
 * has at one step alone counts as a different choice.
 *
 * @param layers indices of the layers in `experts`
 */
export function agreement(experts: ExpertsOfSteps, a: number, b: number, layers: readonly number[]): number {
  let [same, all] = [0, 0];
  for (const layer of layers)
    experts[a]![layer]!.forEach((text, token) => {
      const [own, other] = [text, experts[b]![layer]![token]!].map((each) => each.split(',').filter(Boolean));
      same += own!.filter((expert) => other!.includes(expert)).length;
      all += Math.max(own!.length, other!.length);
    });
  return all === 0 ? 1 : same / all;
}
