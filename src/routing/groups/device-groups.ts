import type { CommonMoe } from '../common-fields.js';
import { positive } from '../numeric-fields.js';
import { type MoeProblem, unless } from '../policy.js';

// Shapes: M device groups of equal size, each of consecutive experts of a domain.

export const deviceGroupsField = {
  deviceGroups: positive
    .default(2)
    .describe(
      'groups of consecutive experts of a domain; with moge a token has as many choices in each, and with a multiple of the ranks all ranks have an equal load; deepseek has them with maxDeviceGroups alone',
    ),
};

type Grouped = Pick<CommonMoe, 'numExperts' | 'expertGroups'> & { readonly deviceGroups: number };

/** Checks the sizes of device groups, then applies `fit` to groups of this size. */
export function deviceGroupsFit(
  { numExperts, expertGroups, deviceGroups }: Grouped,
  fit: (size: number, numOpen: number) => MoeProblem | undefined,
): MoeProblem | undefined {
  const numOpen = numExperts / expertGroups;
  // Another rule rejects groups that do not divide the experts.
  if (!Number.isInteger(numOpen)) return undefined;
  const size = numOpen / deviceGroups;
  const divides = unless(
    Number.isInteger(size),
    'deviceGroups',
    `${deviceGroups} does not divide the experts of a domain: ${numOpen}, numExperts over expertGroups`,
  );
  return divides ?? fit(size, numOpen);
}

/** Returns the experts of each domain in M groups. */
export function inDeviceGroups(expertsOfDomain: readonly Int32Array[], deviceGroups: number): Int32Array[][] {
  return expertsOfDomain.map((experts) => {
    const size = experts.length / deviceGroups;
    return Array.from({ length: deviceGroups }, (_, i) => experts.subarray(i * size, (i + 1) * size));
  });
}
