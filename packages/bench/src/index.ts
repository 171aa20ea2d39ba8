import type { BenchPackage } from 'locmoe/internal/cli/packages';
import { addBenchCommand, addPlanCommand } from './commands/bench.js';

export const addCommands: BenchPackage['addCommands'] = (program) => {
  addBenchCommand(program);
  addPlanCommand(program);
};
