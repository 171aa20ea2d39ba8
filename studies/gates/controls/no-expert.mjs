// A control: no token has an expert, so that a sparse layer adds nothing to its attention. What experts are worth is how far
// a router is below it.
import { countBytes, defineRouter, firstFit } from 'locmoe/routing';

const NOTHING = { flops: 0, touched: 0, operations: 0 };

export default defineRouter({
  price: ({ numExperts }) => ({
    forward: NOTHING,
    backward: NOTHING,
    hostNs: 0,
    gathered: { purpose: 'counts', bytes: countBytes(numExperts) },
    choicesPerToken: 1,
    kept: { perToken: 0, source: 'the control, in which no token has an expert', isConfigured: true },
    candidatesPerToken: 0,
    weighted: false,
  }),
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
