// A router of one's own: each `span` tokens in a row go to the next expert of their domain's group, weighted by a factor that
// is learned for each expert. Shapes: T tokens of this rank, E experts.
import { classicCapacity, defineRouter, firstFit, gatherRows, heldExperts, z } from 'locmoe/routing';

export default defineRouter({
  fields: { span: z.number().int().positive().default(8).describe('tokens in a row that go to one expert') },
  parameters: ({ numExperts }) => [
    {
      name: 'scale',
      shape: [numExperts, 1],
      init: { kind: 'constant', value: 1 },
      placement: 'shared',
      decay: false,
    },
  ],
  create: (context) => ({
    route({ domainsT, training, parameters }) {
      const { moe, expertsOfDomain, topology } = context;
      // Counted over all ranks, so that the layout does not matter.
      const first = topology.rank * domainsT.length;
      const chosenT = domainsT.map((domain, t) => {
        const group = expertsOfDomain[domain];
        return group[Math.floor((first + t) / moe.span) % group.length];
      });
      const factor = training ? moe.capacityFactor : null;
      const capacity = classicCapacity(
        factor,
        chosenT.length * topology.worldSize,
        1,
        heldExperts(moe).count,
      );
      const weightsTK = gatherRows(parameters.get('scale'), chosenT);
      return { ...firstFit(context, chosenT, capacity), weightsTK, auxiliaryLoss: null, gateCosine: null };
    },
  }),
});
