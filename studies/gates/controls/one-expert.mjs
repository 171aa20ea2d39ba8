// A control: all tokens have the first expert of their domain's group, with weight 1 and whatever `capacityFactor` says; with
// one group a sparse layer is one feed-forward network for all tokens. What choosing is worth is how far a router is below it.
import { defineRouter, firstFit } from 'locmoe/routing';

export default defineRouter({
  create: (context) => ({
    route: ({ domainsT }) => ({
      ...firstFit(
        context,
        domainsT.map((domain) => context.expertsOfDomain[domain][0]),
        Infinity,
      ),
      weightsTK: null,
      auxiliaryLoss: null,
      gateCosine: null,
    }),
    foresee: (_, domainsT) => domainsT.map((domain) => context.expertsOfDomain[domain][0]),
  }),
});
