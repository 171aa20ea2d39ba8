import { numStepsOf } from '@locmoe/run-format';
import type { Architecture } from '../architecture/architecture.js';
import type { Communicator } from '../collectives/communicator.js';
import type { RunConfig } from '../config/schema.js';
import { placementOf } from '../routing/groups/expert-placement.js';
import { createRouter, expertsOfDomain, type Router } from '../routing/index.js';
import { MoeLayer } from './moe-layer.js';

/** Creates the sparse layers of a model with their routers, from the bottom. */
export function sparseLayers(
  config: RunConfig,
  { blocks }: Architecture,
  communicator: Communicator,
): MoeLayer[] {
  const { model, moe, data, cluster, seed } = config;
  const context = {
    moe,
    dModel: model.dModel,
    vocabSize: model.vocabSize,
    expertsOfDomain: expertsOfDomain(data.domains.length, moe),
    topology: communicator.topology,
    transport: communicator.transport,
    seed,
    numSteps: numStepsOf(config),
  };
  const routers: Router[] = [];
  const all = blocks.flatMap(({ operation }) => (operation.op === 'experts' ? [operation] : []));
  return all.map((experts, i) => {
    const layer = model.numDenseLayers + i;
    const router = createRouter({ ...context, layer, below: [...routers] });
    routers.push(router);
    return new MoeLayer({
      layer,
      experts,
      placement: placementOf(moe, communicator.topology.worldSize, layer),
      router,
      communicator,
      deduplicate: cluster.deduplicate,
      overlapDegree: cluster.overlapDegree === 'auto' ? 1 : cluster.overlapDegree,
    });
  });
}
