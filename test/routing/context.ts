import { soloTransport } from '../../src/collectives/solo-transport.js';
import { expertsOfDomain, type MoeConfig, type RouterContext } from '../../src/routing/index.js';
import { tinyConfig } from '../model/support.js';

/** The context of a router in a world of one rank with three domains. */
export function routerContext(
  moe: Partial<MoeConfig>,
  overrides: Partial<RouterContext<MoeConfig>> = {},
): RouterContext<MoeConfig> {
  const transport = soloTransport();
  const config = tinyConfig({ moe });
  return {
    moe: config.moe,
    layer: 2,
    dModel: 6,
    vocabSize: 300,
    expertsOfDomain: expertsOfDomain(3, config.moe),
    topology: transport.topology,
    transport,
    seed: 5,
    numSteps: 100,
    below: [],
    ...overrides,
  };
}
