// Computes the loss of each checkpoint of the newest run on its validation text: node examples/evaluate.mjs
import { loadModel, openRun } from 'locmoe';

for (const folder of (await openRun()).checkpoints()) {
  const model = await loadModel(folder);
  for (const { domain, loss, tokens } of await model.evaluate({ sequences: 4 }))
    console.log(
      `step ${model.step}, ${domain}: loss ${loss.toFixed(4)}, perplexity ${Math.exp(loss).toFixed(1)} on ${tokens} tokens`,
    );
}
