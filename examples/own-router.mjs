// Trains with the router of my-router.mjs, without a fork: node examples/own-router.mjs [STEPS]
import { fileURLToPath } from 'node:url';
import { loadModel, train } from 'locmoe';

const router = fileURLToPath(new URL('my-router.mjs', import.meta.url));
const set = {
  'moe.router': router,
  'moe.routerOptions.choices': 1,
  'moe.capacityFactor': 1.25,
  'train.steps': Number(process.argv[2] ?? 50),
};
const training = train({ config: 'tiny', set, nodes: 2, workersPerNode: 1 });
for await (const event of training)
  if (event.type === 'step') console.log(`step ${event.step}: loss ${event.loss.toFixed(3)}`);

const { directory } = await training.result;
const { config } = await loadModel(directory);
console.log(
  `the checkpoint knows its router: ${config.moe.router}, choices ${config.moe.routerOptions.choices}`,
);
