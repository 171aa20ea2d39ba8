// Trains the smallest recipe for some steps and follows it: node examples/train.mjs [STEPS]
import { train } from 'locmoe';

const steps = Number(process.argv[2] ?? 100);
const training = train({ config: 'tiny', set: { 'train.steps': steps }, nodes: 1, workersPerNode: 2 });

for await (const event of training) {
  if (event.type === 'message' || event.type === 'warning') console.log(event.text);
  if (event.type === 'started') console.log(`run ${event.runId}, ${event.steps} steps`);
  if (event.type === 'step' && event.step % 10 === 0)
    console.log(
      `step ${event.step}: loss ${event.loss?.toFixed(3)}, ${event.tokensPerS.toFixed(0)} tokens/s`,
    );
  if (event.type === 'checkpoint') console.log(`saved ${event.directory}`);
}

const { validation, directory } = await training.result;
for (const { domain, loss } of validation) console.log(`${domain}: ${loss.toFixed(3)} nats per token`);
console.log(`done: ${directory}`);
