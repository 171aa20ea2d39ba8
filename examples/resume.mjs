// Stops a training after some steps, and goes on with it: node examples/resume.mjs [STEPS]
import { train } from 'locmoe';

const steps = Number(process.argv[2] ?? 40);
const stopping = new AbortController();
const set = { 'train.steps': steps };
const first = train({ config: 'tiny', set, nodes: 1, workersPerNode: 1, signal: stopping.signal });
for await (const event of first)
  if (event.type === 'step' && event.step === Math.ceil(steps / 2))
    stopping.abort(new Error('half of it is done'));

const half = await first.result;
console.log(`stopped at step ${half.step}: ${half.stopped}; saved ${half.checkpoint}`);

const whole = await train({ resume: half.directory }).result;
console.log(`went on to step ${whole.step} in the same run: ${whole.runId === half.runId}`);
