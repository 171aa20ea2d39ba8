import { z } from 'zod';
import { count, positive } from '../numeric-fields.js';

/** The rank that holds each expert: `moe.placement`, and the file that `locmoe routes place` writes. */
export const placementSchema = z.strictObject({
  version: z.literal(1),
  numExperts: positive,
  nodes: positive,
  workersPerNode: positive,
  layers: z
    .record(z.string(), z.array(count).readonly())
    .describe('rank of each expert, by the index of a sparse layer among all layers'),
});

export type PlacementFile = z.output<typeof placementSchema>;

/** The part of a run that a placement has to fit. */
interface PlacedRun {
  readonly numExperts: number;
  readonly nodes: number;
  readonly workersPerNode: number;
  /** Indices of the sparse layers among all layers. */
  readonly sparseLayers: readonly number[];
}

/** Describes why a run cannot use a placement; null if it can. */
export function placementProblem(
  { numExperts, nodes, workersPerNode, layers }: PlacementFile,
  run: PlacedRun,
): string | null {
  const numRanks = run.nodes * run.workersPerNode;
  if (nodes !== run.nodes || workersPerNode !== run.workersPerNode)
    return (
      `is for ${nodes} x ${workersPerNode} ranks (nodes x workers), and this run has ${run.nodes} x ${run.workersPerNode}; make ` +
      `another with locmoe routes place, or set moe.placement=null`
    );
  if (numExperts !== run.numExperts)
    return `is for ${numExperts} experts in a layer, and the model has ${run.numExperts} (moe.numExperts)`;
  if (numExperts < numRanks)
    return `needs at least as many experts as ranks: ${numExperts} experts, ${numRanks} ranks`;
  const expected = run.sparseLayers.map(String);
  const unknown = Object.keys(layers).find((layer) => !expected.includes(layer));
  const missing = expected.find((layer) => !Object.hasOwn(layers, layer));
  if (unknown !== undefined || missing !== undefined)
    return `${unknown === undefined ? `leaves out layer ${missing}` : `names layer ${unknown}`}; the sparse layers are ${expected.join(', ')}`;
  for (const [layer, ranksE] of Object.entries(layers)) {
    const problem = layerProblem(ranksE, numExperts, numRanks);
    if (problem !== null) return `layer ${layer} ${problem}`;
  }
  return null;
}

function layerProblem(ranksE: readonly number[], numExperts: number, numRanks: number): string | null {
  if (ranksE.length !== numExperts)
    return `has ${ranksE.length} places for ${numExperts} experts; each expert has one`;
  const outside = ranksE.find((rank) => rank >= numRanks);
  if (outside !== undefined) return `names rank ${outside}; the last of ${numRanks} is ${numRanks - 1}`;
  const perRank = numExperts / numRanks;
  for (let rank = 0; rank < numRanks; rank++) {
    const held = ranksE.filter((each) => each === rank).length;
    if (held !== perRank)
      return `gives rank ${rank} ${held} experts; each of ${numRanks} ranks holds ${perRank} of ${numExperts}`;
  }
  return null;
}
