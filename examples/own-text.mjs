// Trains on files of one's own: node examples/own-text.mjs 'notes/**/*.md' [STEPS]
import { loadModel, prepareText, train } from 'locmoe';

const [pattern, steps = '50'] = process.argv.slice(2);
if (pattern === undefined)
  throw new Error('say which files, e.g. node examples/own-text.mjs "notes/**/*.md"');

const { domains, config } = await prepareText({ text: [pattern] });
for (const { name, trainTokens, unigramEntropy } of domains)
  console.log(
    `${name}: ${trainTokens} tokens to train on; without context ${unigramEntropy.toFixed(2)} nats per token`,
  );
console.log(
  `the recipe for it: ${config.model.numSparseLayers} sparse layers, ${config.moe.numExperts} experts`,
);

const { directory } = await train({
  text: [pattern],
  set: { 'train.steps': Number(steps), 'train.warmupSteps': 1 },
  nodes: 1,
  workersPerNode: 1,
}).result;
const model = await loadModel(directory);
for (const { domain, loss } of await model.evaluate())
  console.log(`${domain}: ${loss.toFixed(2)} nats per token`);
