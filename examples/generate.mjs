// Continues a text with the newest run: node examples/generate.mjs [TEXT]
import { loadModel, openRun } from 'locmoe';

const prompt = process.argv[2] ?? 'The';
const model = await loadModel((await openRun()).directory);
const [domain] = model.config.data.domains;

process.stdout.write(prompt);
for await (const piece of model.generate(prompt, { domain, maxTokens: 30, seed: 7 }))
  process.stdout.write(piece);
process.stdout.write('\n');

const likelier = await Promise.all(
  [' cat', ' of'].map((next) => model.logLikelihood(prompt, next, { domain })),
);
console.log(`log-likelihoods of " cat" and " of": ${likelier.map((each) => each.toFixed(2)).join(', ')}`);
