import type { BenchPackage } from 'locmoe/internal/cli/packages';
import { addBenchCommand, addPlanCommand } from './commands/bench.js';

export const placeExperts: BenchPackage['placeExperts'] = async (options) => {
  const { placeExperts: place } = await import('./place/place.js');
  await place(options);
};

export const addCommands: BenchPackage['addCommands'] = (program) => {
  addBenchCommand(program);
  addPlanCommand(program);
};
