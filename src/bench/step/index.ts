export { type BenchStepOptions, benchStep } from './bench.js';
export { type TimeRecipesOptions, timeRecipes } from './recipes.js';
