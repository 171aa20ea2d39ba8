import path from 'node:path';
import { readRecords } from '@locmoe/run-format';
import { stepsOf } from 'locmoe/internal/chaos/invariants/evidence';
import { median } from '../statistics.js';
import { runTraining } from '../training.js';
import type { Part, PartContext } from './part.js';

const CONFIG = 'tiny';
const STEPS = 400;
/** The first steps are slow because of TensorFlow and because alternative implementations are tried. */
const WARM_UP_STEPS = 20;
const PAIRS = 7;
/** Automatic trials choose differently from run to run, which has more effect than what is measured here. */
const FIXED = ['cluster.overlapDegree=1'];
/** The default, which `runTraining` turns off. */
const ON = ['cluster.maxRestarts=3'];
const OFF = ['cluster.maxRestarts=0', 'train.snapshotEvery=0'];

/**
 * Measures how much longer a step takes with all fault tolerance than without, when there is no fault: pairs
 * of runs in alternating order.
 */
export const costPart: Part = async (context) => {
  const pairs = context.quick ? 1 : (context.runs ?? PAIRS);
  const costs: number[] = [];
  for (let pair = 0; pair < pairs; pair++) {
    // The order alternates because the machine heats up.
    const order = pair % 2 === 0 ? [ON, OFF] : [OFF, ON];
    const [first, second] = [await stepMs(context, order[0]!), await stepMs(context, order[1]!)];
    const [on, off] = pair % 2 === 0 ? [first, second] : [second, first];
    costs.push(on / off - 1);
    context.log(`pair ${pair + 1}/${pairs}: a step of ${on.toFixed(1)} ms, ${off.toFixed(1)} ms without`);
  }
  return {
    costOfFaultFree: median(costs),
    notes: `Median of ${pairs} pairs of runs of \`${CONFIG}\`, ${STEPS} steps each, with the defaults and with \`${OFF.join(' ')}\`.`,
  };
};

/**
 * Returns the mean time between steps by the wall clock: a median would hide the steps that a snapshot makes longer.
 */
async function stepMs({ workDir, dataDir }: PartContext, sets: readonly string[]): Promise<number> {
  const lengths = [`train.steps=${STEPS}`, 'train.validateEvery=1000', 'train.checkpointEvery=1000'];
  const folder = path.join(workDir, 'run');
  const run = await runTraining({ config: CONFIG, sets: [...lengths, ...FIXED, ...sets], folder, dataDir });
  const steps = stepsOf(readRecords(run.metrics)).slice(WARM_UP_STEPS);
  return (steps.at(-1)!.time - steps[0]!.time) / (steps.length - 1);
}
