import { count } from '../kit/options.js';
import { study } from '../kit/study.js';
import { measureRouters, type RouterAgreement } from './agreement.js';

interface Figures {
  readonly routers: readonly RouterAgreement[];
}

export default study({
  name: 'routes-agreement',
  description:
    'whether the trainer, eval, generate, api and all exports choose the same experts for the same tokens',
  quick: 'fewer tokens, and models that were trained for 10 steps',
  options: { tokens: count('tokens that each model routes', 100_000, { quick: 1_000 }) },
  // It has no page.
  isPart: () => true,

  async measure({ options: { tokens }, ...place }): Promise<Figures> {
    const routers = await measureRouters({ ...place, log: (line) => console.log(line) }, tokens);
    if (routers.some(({ engines }) => engines.some(isWrong))) place.fail();
    return { routers };
  },
});

function isWrong({ precision, different }: RouterAgreement['engines'][number]): boolean {
  return precision === 'float32' && different > 0;
}
