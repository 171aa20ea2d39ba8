// A control of capacity that falls by itself: LocMoE+ with a capacity that moves on a line from the first step to the last.
import { defineRouter, routers, z } from 'locmoe/routing';

const plus = routers['locmoe-plus'];
const factor = z.number().positive();

export default defineRouter({
  ...plus,
  fields: {
    first: factor.describe('capacity factor of the first step'),
    last: factor.describe('capacity factor after the last step'),
  },
  create(context) {
    const { moe, numSteps } = context;
    const { first, last } = moe;
    let router = null;
    const progress = () => (router === null ? 0 : router.state.get('step')[0] / numSteps);
    const scheduled = Object.defineProperty({ ...moe }, 'capacityFactor', {
      get: () => first + (last - first) * progress(),
    });
    router = plus.create({ ...context, moe: scheduled });
    return router;
  },
});
