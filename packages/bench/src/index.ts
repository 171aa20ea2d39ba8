import type { BenchPackage } from 'locmoe/internal/cli/packages';
import { addBenchCommand } from './commands/bench.js';
import { addPlanCommand } from './commands/plan.js';

export const addCommands: BenchPackage['addCommands'] = (program) => {
  addBenchCommand(program);
  addPlanCommand(program);
};
