// Trains the same model with several routers and compares them: node examples/routers.mjs [STEPS] [ROUTER...]
import { train } from 'locmoe';

const [steps = '30', ...named] = process.argv.slice(2);
const routers =
  named.length > 0 ? named : ['hash', 'switch', 'expert-choice', 'locmoe', 'locmoe-plus', 'moge'];

for (const router of routers) {
  const training = train({
    config: 'tiny',
    set: { 'moe.router': router, 'train.steps': Number(steps), 'train.validateEvery': Number(steps) },
    nodes: 1,
    workersPerNode: 1,
  });
  let last;
  for await (const event of training) if (event.type === 'step') last = event;
  const { validation } = await training.result;
  const losses = validation.map(({ domain, loss }) => `${domain} ${loss.toFixed(3)}`).join(', ');
  console.log(
    `${router}: loss ${last.loss.toFixed(3)}, validation ${losses}, ${last.tokensPerS.toFixed(0)} tokens/s`,
  );
}
