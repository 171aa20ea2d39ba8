import { TrainerError } from '../../errors.js';
import type { CommonMoe } from '../common-fields.js';

export type Groups = Pick<CommonMoe, 'numExperts' | 'expertGroups' | 'subModel'>;

/** Experts with consecutive global ids. */
export interface ExpertRange {
  readonly first: number;
  readonly count: number;
}

/**
 * Does level 1 of the routing (RRE; PanGu-Sigma, arXiv 2303.10845, section 3): experts are split into consecutive
 * groups of equal size, and domain i uses group i mod groups. All domains of a sub-model use its one group.
 *
 * @returns ascending global expert ids by domain id
 * @throws TrainerError `BAD_CONFIG` if the number of groups does not divide the number of experts
 */
export function expertsOfDomain(numDomains: number, moe: Groups): Int32Array[] {
  const { numExperts, expertGroups, subModel } = moe;
  if (numExperts % expertGroups !== 0)
    throw new TrainerError(
      'BAD_CONFIG',
      `moe.expertGroups ${expertGroups} does not divide moe.numExperts ${numExperts}`,
    );
  return Array.from({ length: numDomains }, (_, domain) => {
    const { first, count } = subModel === null ? groupOf(domain, moe) : heldExperts(moe);
    return Int32Array.from({ length: count }, (_, i) => first + i);
  });
}

/** Returns the experts that the model has: all experts, or in a sub-model the experts of its domain's group. */
export function heldExperts(moe: Groups): ExpertRange {
  const { numExperts, subModel } = moe;
  if (subModel === null) return { first: 0, count: numExperts };
  return groupOf(subModel.domains.indexOf(subModel.domain), moe);
}

function groupOf(domain: number, { numExperts, expertGroups }: Groups): ExpertRange {
  const count = numExperts / expertGroups;
  return { first: (domain % expertGroups) * count, count };
}
