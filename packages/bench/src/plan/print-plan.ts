import { describePlan } from './describe.js';
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
  console.log(options.json ? JSON.stringify(plan, null, 2) : describePlan(input, plan));
}
