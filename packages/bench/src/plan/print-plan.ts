import { describePlan } from './describe.js';
import { extrapolations } from './extrapolations.js';
import { type PlanOptions, planInput } from './inputs.js';
import { predict } from './predict.js';

/**
 * `locmoe plan`: prints the predicted step.
 *
 * @throws TrainerError `BAD_CONFIG` or `BAD_INPUT` for invalid options
 */
export function printPlan(options: PlanOptions): void {
  const input = planInput(options);
  const plan = predict(input);
  const beyond = extrapolations(input);
  if (options.json) console.log(JSON.stringify({ ...plan, extrapolations: beyond }, null, 2));
  else console.log([describePlan(input, plan), ...beyond.map((each) => `note: ${each}`)].join('\n'));
}
