// A control: no token has an expert, so that a sparse layer adds nothing to its attention. What experts are worth is how far
// a router is below it.
import { defineRouter, firstFit } from 'locmoe/routing';

export default defineRouter({
  hints: () => ({ kept: { perToken: 0, source: 'the control, in which no token has an expert' } }),
  create: (context) => ({
    route: ({ domainsT }) => ({
      ...firstFit(
        context,
        domainsT.map(() => -1),
        Infinity,
      ),
      weightsTK: null,
      auxiliaryLoss: null,
      gateCosine: null,
    }),
  }),
});
