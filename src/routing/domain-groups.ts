import { TrainerError } from '../errors.js';
import type { CommonMoe } from './common-fields.js';

/**
 * Level 1 of the routing (RRE; PanGu-Sigma, arXiv 2303.10845, section 3): experts are split into consecutive
 * groups of equal size, and domain i uses group i mod groups.
 *
 * @returns ascending global expert ids by domain id
 * @throws TrainerError `BAD_CONFIG` if the number of groups does not divide the number of experts
 */
export function expertsOfDomain(
  numDomains: number,
  { numExperts, expertGroups }: Pick<CommonMoe, 'numExperts' | 'expertGroups'>,
): Int32Array[] {
  if (numExperts % expertGroups !== 0)
    throw new TrainerError(
      'BAD_CONFIG',
      `moe.expertGroups ${expertGroups} does not divide moe.numExperts ${numExperts}`,
    );
  const size = numExperts / expertGroups;
  return Array.from({ length: numDomains }, (_, domain) =>
    Int32Array.from({ length: size }, (_, i) => (domain % expertGroups) * size + i),
  );
}
